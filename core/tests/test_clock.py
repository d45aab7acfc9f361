"""Zones: those of the IANA database, which are the same on every machine."""

from __future__ import annotations

import pytest

from zhike import clock
from zhike.errors import Refused
from zhike.settings import load


@pytest.mark.parametrize("key", ["Asia/Shanghai", "PRC", "UTC", "America/Argentina/Ushuaia"])
def test_a_zone_is_known_by_its_name(key: str) -> None:
    assert str(clock.zone(key)) == key
    assert load(environment={"ZHIKE_TIMEZONE": key}).timezone == key


@pytest.mark.parametrize(
    "key",
    ["localtime", "Factory", "posixrules", "right/UTC", "Asia", "tzdata.zi", "../../etc/passwd", "a\0", "Mars/Olympus"],
)
def test_what_is_no_zone_or_another_one_on_each_machine_is_refused(key: str) -> None:
    assert clock.zone(key) is None
    with pytest.raises(Refused, match="IANA zone"):
        load(environment={"ZHIKE_TIMEZONE": key})
