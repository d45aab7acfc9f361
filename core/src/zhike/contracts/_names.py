"""What fields of several structs are."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from zhike.i18n import Text

Label = Text | str
Name = Annotated[str, Meta(pattern=r"\A(\*|[\w.:-]{1,100})\Z")]
Count = Annotated[int, Meta(ge=1)]
