"""Messages: JSON objects in frames. A table of fields checks and documents each kind of message.

Unknown members are ignored, so that later versions can add members. Bytes are written in hexadecimal.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple, cast

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.limits import MAX_TEXT_BYTES


class Type(Enum):
    """Type of the value of a field. The value of the member is its description."""

    NUMBER = "number"
    TEXT = "text"
    BYTES = "bytes"
    NUMBERS = "list of numbers"
    TEXTS = "list of texts"


class Field(NamedTuple):
    """A member of a message. `min` and `max` bound a number, or the length of a text (in characters), of bytes or of a list.

    If a field has a `default`, the field may be missing. The default is then the value.
    """

    name: str
    type: Type
    min: int
    max: int
    meaning: str
    default: object = None


class Message:
    """The values of the fields of a message that was checked."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def number(self, name: str) -> int:
        return cast(int, self._values[name])

    def text(self, name: str) -> str:
        return cast(str, self._values[name])

    def content(self, name: str) -> bytes:
        """Return the value of a field of type BYTES."""
        return cast(bytes, self._values[name])

    def numbers(self, name: str) -> Sequence[int]:
        return cast(Sequence[int], self._values[name])

    def texts(self, name: str) -> Sequence[str]:
        return cast(Sequence[str], self._values[name])


def read_message(fields: Sequence[Field], document: Mapping[str, Json]) -> Message:
    """Check the members of a JSON object. Raises PeerFault that names the first wrong field."""
    values: dict[str, object] = {}
    for field in fields:
        if field.name in document:
            values[field.name] = _CHECKS[field.type](field, document[field.name])
        elif field.default is None:
            raise PeerFault(f"a message has no field {field.name}")
        else:
            values[field.name] = field.default
    return Message(values)


def shortened(text: str) -> str:
    """Return the beginning of a text that fits into a message, without characters that are not printable."""
    printable = "".join(each if each.isprintable() else "?" for each in text[:MAX_TEXT_BYTES])
    return printable.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")


def _number(field: Field, value: object) -> int:
    if type(value) is not int or not field.min <= value <= field.max:
        raise _wrong(field, f"a number from {field.min} to {field.max}")
    return value


def _text(field: Field, value: object) -> str:
    if not isinstance(value, str) or not field.min <= len(value) <= field.max or not value.isprintable():
        raise _wrong(field, f"a printable text of {field.min} to {field.max} characters")
    return value


def _bytes(field: Field, value: object) -> bytes:
    try:
        found = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or not field.min <= len(found) <= field.max:
        raise _wrong(field, f"{field.min} to {field.max} bytes in hexadecimal")
    return found


def _items(field: Field, value: object) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not field.min <= len(value) <= field.max:
        raise _wrong(field, f"a list of {field.min} to {field.max} items")
    return value


def _numbers(field: Field, value: object) -> Sequence[int]:
    items = _items(field, value)
    if not all(type(item) is int for item in items):
        raise _wrong(field, "a list of numbers")
    return cast(Sequence[int], items)


def _texts(field: Field, value: object) -> Sequence[str]:
    items = _items(field, value)
    if not all(isinstance(item, str) and item.isprintable() for item in items):
        raise _wrong(field, "a list of printable texts")
    return cast(Sequence[str], items)


def _wrong(field: Field, wanted: str) -> PeerFault:
    return PeerFault(f"the field {field.name} of a message is not {wanted}")


_CHECKS = {
    Type.NUMBER: _number,
    Type.TEXT: _text,
    Type.BYTES: _bytes,
    Type.NUMBERS: _numbers,
    Type.TEXTS: _texts,
}
