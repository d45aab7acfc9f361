"""Forms made from structs: what is asked for, what was typed, and what is wrong with it beside each field."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta
from msgspec.inspect import (
    BoolType,
    DateTimeType,
    DateType,
    DecimalType,
    EnumType,
    Field,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    type_info,
)

from zhike.i18n import Text, text
from zhike.ui import spans

Kind = Literal[
    "text", "textarea", "password", "number", "integer", "switch", "select", "multi", "date", "instant", "money",
    "duration", "color", "palette", "icon", "json", "condition", "group", "customer", "user", "team", "role", "event",
    "tag", "tags", "hidden",
]  # fmt: skip
Struct = TypeVar("Struct", bound=msgspec.Struct)


def asked(
    label: str,
    *,
    help: str = "",
    kind: Kind | None = None,
    options: Mapping[str, str] | None = None,
    placeholder: str = "",
    **limits: Any,
) -> Meta:
    """Describe a field of a struct for people.

    It stands in the annotation, such as `name: Annotated[str, asked("Name", max_length=100)]`.

    Args:
        label: English message id of its name; like the others it is translated by the package's catalogs.
        help: What to know about it.
        kind: How it is asked for, where its type does not say that.
        options: Value to label, of a `Literal`, or of a text with `kind="select"`.
        placeholder: An example that is shown while it is empty.
        **limits: What `msgspec.Meta` takes, such as `ge` and `max_length`.
    """
    extra = {"label": label, "help": help, "kind": kind, "options": dict(options or {}), "placeholder": placeholder}
    return Meta(extra=extra, **limits)


COLOURS = {
    "": "Usual", "blue": "Blue", "azure": "Azure", "indigo": "Indigo", "purple": "Purple", "pink": "Pink", "red": "Red",
    "orange": "Orange", "yellow": "Yellow", "lime": "Lime", "green": "Green", "teal": "Teal", "cyan": "Cyan",
}  # fmt: skip
"""Colours that every theme has, for what staff give one, each with its name."""
Colour = Annotated[str, asked("Colour", kind="palette", options=COLOURS, pattern=rf"\A({'|'.join(COLOURS)})\Z")]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a form as it is shown.

    Args:
        name: Of the field of the struct.
        label: Its name for people.
        help: What to know about it.
        kind: How it is asked for.
        required: Whether it must be given.
        value: What it holds; a list where there may be several.
        options: Value and label of what can be chosen.
        error: What is wrong with it, or None.
        placeholder: An example.
        limits: `min`, `max`, `minlength`, `maxlength`, `pattern` of the element.
        on: Whether the switch of an optional condition or struct is on; what it holds may be kept while it is off.
        form: Of a struct inside the struct.
    """

    name: str
    label: Text | str
    help: Text | str | None
    kind: Kind
    required: bool
    value: Any
    options: list[tuple[str, Text | str]]
    error: Text | None
    placeholder: Text | str | None
    limits: dict[str, Any]
    on: bool = True
    form: Form | None = None


class FormError(Exception):
    """What was typed does not fit.

    Args:
        form: The form with all that was typed and the errors.
    """

    def __init__(self, form: Form) -> None:
        super().__init__(", ".join(form.errors) or "form")
        self.form = form


class Form:
    """A form of a struct.

    Args:
        struct: What is asked for.
        values: What the fields hold: a struct, texts as they were typed, or None for the defaults.
        errors: What is wrong, by field.
        problem: What is wrong with all of it, or None.
        prefix: Put before the names of the fields, where several forms are sent together.
        inner: The forms of structs inside the struct, as far as something in them does not fit.
        status: HTTP status of the page that shows it; 422 with something wrong, else 200, when None.

    Attributes:
        version: That of what it was made from, for its hidden field `version`; "" if that has none.
        theirs: What somebody else has saved meanwhile, which is to be shown as well, or None.
    """

    def __init__(
        self,
        struct: type[msgspec.Struct],
        values: msgspec.Struct | Mapping[str, Any] | None = None,
        errors: Mapping[str, Text] | None = None,
        problem: Text | None = None,
        prefix: str = "",
        inner: Mapping[str, Form] | None = None,
        *,
        status: int | None = None,
    ) -> None:
        self.struct = struct
        self.errors = dict(errors or {})
        self.problem = problem
        self.prefix = prefix
        self.inner = dict(inner or {})
        self.status = status or (422 if errors or problem or inner else 200)
        self.version: int | str = ""
        self.theirs: Form | None = None
        given = msgspec.structs.asdict(values) if isinstance(values, msgspec.Struct) else dict(values or {})
        described = type_info(struct)
        assert isinstance(described, StructType)  # noqa: S101  # it is a struct
        self.fields = [self._shown(each, given) for each in described.fields]

    def __getitem__(self, name: str) -> Shown:
        return next(each for each in self.fields if each.name == self.prefix + name)

    def differing(self, other: Form) -> list[Shown]:
        """Return the fields of another form of the struct that hold something else than here."""
        return [theirs for mine, theirs in zip(self.fields, other.fields, strict=True) if _differ(mine, theirs)]

    def _shown(self, field: Field, given: Mapping[str, Any]) -> Shown:
        extra, limits, kind = _described(field.type)
        value = given.get(field.encode_name, _default(field))
        options = dict(extra.get("options") or {})  # in this order; msgspec sorts the values of a Literal
        options |= {each: None for each in _choices(field.type) if each not in options}
        kind = extra.get("kind") or kind
        if kind == "duration":
            limits, options = {}, {unit: name.msgid for unit, name in spans.UNITS.items()}
            value = spans.shown(value) if isinstance(value, int | float) else value
        if kind == "select" and (held := _text(value)) and held not in options:
            options[held] = held
        name = self.prefix + field.encode_name
        inner = self.inner.get(field.encode_name)
        if kind == "group" and inner is None:
            inner = Form(_struct(field.type), value, prefix=f"{name}.")
        return Shown(
            name=name,
            label=Text(extra.get("label") or field.encode_name),
            help=Text(extra["help"]) if extra.get("help") else None,
            kind=kind,
            required=field.required and kind != "switch",
            value="" if kind == "password" else _text(value),  # no page holds one
            options=[(each, Text(label or each)) for each, label in options.items()],
            error=self.errors.get(field.encode_name),
            placeholder=Text(extra["placeholder"]) if extra.get("placeholder") else None,
            limits=limits,
            on=given.get(f"{field.encode_name}.on", value is not None),
            form=inner,
        )


def decode(struct: type[Struct], posted: Mapping[str, Sequence[str]], *, prefix: str = "") -> Struct:
    """Return what was typed into a form of a struct.

    Args:
        struct: What was asked for.
        posted: The form's fields.
        prefix: See `Form`.

    Raises:
        FormError: If something does not fit; its form holds all that was typed.
    """
    described = type_info(struct)
    assert isinstance(described, StructType)  # noqa: S101  # it is a struct
    hints = typing.get_type_hints(struct, include_extras=True)
    typed: dict[str, Any] = {}
    values: dict[str, Any] = {}
    errors: dict[str, Text] = {}
    inner: dict[str, Form] = {}
    for field in described.fields:
        name, kinds = field.encode_name, _kinds(field.type)
        kind = _described(field.type)[2]
        value = typed[name] = _typed(posted.get(prefix + name, ()), kind, kinds)
        if kind == "duration":
            value = typed[name] = spans.typed(value, posted.get(f"{prefix}{name}.unit", [""])[-1])
        on = typed[f"{name}.on"] = _typed(posted.get(f"{prefix}{name}.on", ["1"]), "switch", ())
        if not on:
            values[name] = None
            continue
        if kind == "group":
            if any(each.startswith(f"{prefix}{name}.") for each in posted):
                values[name] = typed[name] = _group(_struct(field.type), posted, f"{prefix}{name}.", inner)
            continue
        if value == "":
            if field.required:
                errors[name] = text("This is needed")
            elif prefix + name in posted and _optional(field.type):
                values[name] = None
            continue
        try:
            values[name] = spans.seconds(value) if kind == "duration" else _structured(value, kinds)
            msgspec.convert(values[name], hints[field.name], strict=False)
        except (msgspec.DecodeError, RecursionError) as error:  # a msgspec.ValidationError is one
            errors[name] = _words(str(error), kinds, kind)
    if errors or inner:
        raise FormError(Form(struct, typed, errors, prefix=prefix, inner=inner))
    try:
        return msgspec.convert(values, struct, strict=False)
    except msgspec.ValidationError as error:  # a check of the struct as a whole
        raise FormError(Form(struct, typed, problem=Text("{what}", {"what": str(error)}), prefix=prefix)) from None


def _group(
    struct: type[Struct], posted: Mapping[str, Sequence[str]], prefix: str, failed: dict[str, Form]
) -> Struct | None:
    """Return a struct inside another; if it does not fit, its form is noted in `failed`."""
    try:
        return decode(struct, posted, prefix=prefix)
    except FormError as error:
        failed[prefix[:-1].rpartition(".")[2]] = error.form
        return None


def _typed(given: Sequence[str], kind: Kind, kinds: Sequence[Type]) -> Any:
    """Return what was typed into one field: a list of values, a text, or whether it is on."""
    texts = list(given) if kind in {"textarea", "password"} else [each.strip() for each in given]
    if kind == "switch":
        return bool(texts) and texts[-1] not in {"", "false", "0"}
    if any(isinstance(each, ListType) for each in kinds):
        return [each for each in texts if each]
    return texts[-1] if texts else ""


def _structured(value: Any, kinds: Sequence[Type]) -> Any:
    """Return a value whose type is no text, number or choice from the JSON that its widget writes."""
    plain = any(type(each) in _KINDS for each in kinds)
    return value if plain or not isinstance(value, str) else msgspec.json.decode(value)


def _words(error: str, kinds: Sequence[Type], asked_as: Kind) -> Text:
    """Say what msgspec says, for people: by the type that is expected and the limit that is named."""
    for kind in kinds:
        for name, sign, said in _LIMITS:
            limit = getattr(kind, name, None)
            if limit is not None and f"{sign} {limit}" in error:
                named = spans.said(spans.shown(limit)) if asked_as == "duration" else f"{limit:,}"
                return Text(said.msgid, {"n": named})
        if type(kind) in _EXPECTED:
            return _EXPECTED[type(kind)]
    return text("This does not fit")


_LIMITS = (
    ("ge", ">=", text("At least {n}")),
    ("gt", ">", text("More than {n}")),
    ("le", "<=", text("At most {n}")),
    ("lt", "<", text("Less than {n}")),
    ("max_length", "length <=", text("At most {n} characters")),
    ("min_length", "length >=", text("At least {n} characters")),
)
_EXPECTED: Mapping[type, Text] = {
    IntType: text("A whole number is expected"),
    FloatType: text("A number is expected"),
    DecimalType: text("A number is expected"),
    DateType: text("A date is expected, such as 2026-01-31"),
    DateTimeType: text("A date and time is expected"),
    LiteralType: text("One of the choices is expected"),
    EnumType: text("One of the choices is expected"),
    StrType: text("This has not the form that is expected"),
}


def _kinds(kind: Type) -> list[Type]:
    if isinstance(kind, Metadata):
        return _kinds(kind.type)
    return [inner for each in kind.types for inner in _kinds(each)] if isinstance(kind, UnionType) else [kind]


def _optional(kind: Type) -> bool:
    return any(isinstance(each, NoneType) for each in _kinds(kind))


_KINDS: Mapping[type, Kind] = {
    BoolType: "switch",
    IntType: "integer",
    FloatType: "number",
    DecimalType: "number",
    DateType: "date",
    DateTimeType: "instant",
    LiteralType: "select",
    EnumType: "select",
    ListType: "multi",
    StrType: "text",
    StructType: "group",
}


def _described(kind: Type) -> tuple[Mapping[str, Any], dict[str, Any], Kind]:
    """Return what `asked` said of a type, the limits of its element, and how it is asked for."""
    extra: Mapping[str, Any] = {}
    while isinstance(kind, Metadata):
        extra = {**(kind.extra or {}), **extra}
        kind = kind.type
    if isinstance(kind, UnionType):
        inner = next((each for each in kind.types if not isinstance(each, NoneType)), kind)
        deeper, limits, chosen = _described(inner) if inner is not kind else ({}, {}, "json")
        return {**deeper, **extra}, limits, typing.cast(Kind, extra.get("kind") or chosen)
    names = {"ge": "min", "le": "max", "min_length": "minlength", "max_length": "maxlength"}
    limits = {element: found for name, element in names.items() if (found := getattr(kind, name, None)) is not None}
    chosen = _KINDS.get(type(kind), "json")
    return extra, limits, typing.cast(Kind, extra.get("kind") or chosen)


def _choices(kind: Type) -> list[str]:
    for each in _kinds(kind):
        if isinstance(each, LiteralType):
            return [str(value) for value in each.values]
        if isinstance(each, EnumType):
            return [str(member.value) for member in each.cls]
        if isinstance(each, ListType):
            return _choices(each.item_type)
    return []


def _default(field: Field) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else None


def _differ(one: Shown, other: Shown) -> bool:
    if not (one.on and other.on):
        return one.on != other.on
    if one.form is not None and other.form is not None:
        return bool(one.form.differing(other.form))
    if one.value and other.value and one.kind in {"condition", "json"}:  # whose keys have no order
        return bool(msgspec.json.decode(one.value) != msgspec.json.decode(other.value))
    return bool(one.value != other.value)


def _struct(kind: Type) -> type[msgspec.Struct]:
    return next(each.cls for each in _kinds(kind) if isinstance(each, StructType))


def _text(value: Any) -> Any:
    """Return a value as the element of a form holds it."""
    if isinstance(value, list | tuple | set | frozenset):
        return [str(each) for each in value]
    if isinstance(value, dict | msgspec.Struct):
        return msgspec.json.encode(value).decode()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Enum):
        value = value.value
    return value if isinstance(value, bool) else "" if value is None else str(value)
