"""Rows that describe bytes. A row has the name of a field, its value, and the meaning of the value."""

from collections.abc import Mapping
from dataclasses import dataclass

from odx_target.scsi.layout import Layout

# Numbers below this number are the same in decimal and hexadecimal.
_FIRST_NUMBER_THAT_DIFFERS = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One field as text: its name in the standard, its value, and the meaning of the value. The meaning may be empty."""

    name: str
    value: str
    words: str = ""


def layout_rows(layout: type[Layout], data: bytes, words: Mapping[str, Mapping[int, str]] | None = None) -> list[Row]:
    """Return a row for each named field that lies within `data`. `words` maps field names to the meanings of their values."""
    return [value_row(name, value, (words or {}).get(name)) for name, value in layout.values_within(data).items()]


def value_row(name: str, value: int | bytes, words: Mapping[int, str] | None = None) -> Row:
    """Describe a value. A number is shown in hexadecimal.

    The row also has the meaning of the number, or its decimal form if the meaning is not known. Printable bytes are shown as
    text.
    """
    if isinstance(value, bytes):
        is_text = value.isascii() and value.decode("ascii").rstrip("\0").isprintable() and any(value)
        return Row(name, value.rstrip(b"\0").decode("ascii") if is_text else value.hex(" "))
    meaning = (words or {}).get(value)
    if value < _FIRST_NUMBER_THAT_DIFFERS:
        return Row(name, str(value), meaning or "")
    return Row(name, f"{value:#x}", meaning or str(value))


def raw_row(name: str, data: bytes) -> Row:
    """Describe bytes whose format is not known."""
    return Row(name, data.hex(" "), f"{len(data)} bytes")
