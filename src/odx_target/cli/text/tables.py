"""Tables of fields and dumps of bytes, for a terminal of any width and for a pipe.

In a pipe, each row is one line of any length. On a terminal, cells are broken between words. If a row has no room for its
longest words, its cells are printed one below the other, so that identifiers are never split. No line ends with blanks.
"""

import re
import shutil
import sys
from collections.abc import Iterable, Sequence

import typer

from odx_target.target.printable import printable

HEADINGS = ("field", "value", "meaning")
DUMP_BYTES = 16
MAX_DUMP_BYTES = 4096
"""Maximum number of bytes in a dump. Bytes after this number are not shown."""
GAP = "  "
"""Blanks between columns, and the indent below a name."""

_LONG_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{2}){8,}")

Row = tuple[str, str, str]
"""The name, value and meaning of a field."""


def width_of_terminal() -> int | None:
    """Return the width of standard output in characters; None if standard output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def print_rows(title: str, rows: Iterable[Row]) -> None:
    """Print a table of fields with a title. Control characters sent by a target are escaped."""
    cells = [tuple(map(printable, (_name(name), _spaced(value), words))) for name, value, words in rows]
    typer.echo(typer.style(title, bold=True))
    typer.echo("\n".join([*field_lines(cells, width_of_terminal()), ""]))


def print_columns(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with any columns."""
    cells = [tuple(map(printable, row)) for row in rows]
    typer.echo("\n".join(column_lines(headings, cells, width_of_terminal())))


def field_lines(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return the lines of a table of fields. If a row is too wide, the value and the meaning are on lines below the name."""
    widths = _widths([HEADINGS, *rows], width, width // len(HEADINGS) if width else None)
    if widths is None:
        return [line for row in rows for line in _below_name(row, width)]
    lines = _heading_lines(HEADINGS, widths)
    for row in rows:
        fits = all(_longest_word(cell) <= each for cell, each in zip(row, widths, strict=True))
        lines += _row_lines(row, widths) if fits else _below_name(row, width)
    return lines


def column_lines(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return the lines of a table. If the table is too wide, each cell is on a line of its own, after its heading."""
    widths = _widths([headings, *rows], width)
    if widths is not None:
        return [*_heading_lines(headings, widths), *(line for row in rows for line in _row_lines(row, widths))]
    first = max(map(len, headings))
    room = max((width or 0) - first - len(GAP), 1)
    lines = []
    for row in rows:
        for heading, cell in zip(headings, row, strict=True):
            value, *more = _wrapped(cell, room)
            lines += [f"{heading:{first}}{GAP}{value}".rstrip(), *(" " * first + GAP + line for line in more)]
        lines.append("")
    return lines


def _name(name: str) -> str:
    """Return the name of a field with blanks instead of underscores. The indentation is kept."""
    return name.replace("_", " ")


def _spaced(value: str) -> str:
    """Return the value. If the value is a long hexadecimal number, put blanks between its bytes, so that lines can break
    there.
    """
    return bytes.fromhex(value).hex(" ") if _LONG_HEXADECIMAL.fullmatch(value) else value


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _widths(rows: Sequence[Sequence[str]], width: int | None, longest_word: int | None = None) -> list[int] | None:
    """Return the width of each column. If there is room for all texts, the width is the length of the longest text. Otherwise
    the width is the length of the longest word, plus a share of the remaining room.

    Words longer than `longest_word` do not count, because a row with such a word is printed without columns. Returns None if
    there is no room for the words.
    """
    columns = list(zip(*rows, strict=True))
    wanted = [max(map(len, column)) for column in columns]
    if width is None:
        return wanted
    room = width - (len(columns) - 1) * len(GAP)
    words = [max(map(_longest_word, column)) for column in columns]
    widths = [min(each, longest_word or each) for each in words]
    if sum(widths) > room:
        return None
    while sum(widths) < room and widths != wanted:
        narrowest = min((index for index in range(len(widths)) if widths[index] < wanted[index]), key=widths.__getitem__)
        widths[narrowest] += 1
    return widths


def _heading_lines(headings: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [*_row_lines(headings, widths), "-" * (sum(widths) + (len(widths) - 1) * len(GAP))]


def _row_lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [_wrapped(text, width) for text, width in zip(row, widths, strict=True)]
    lines = []
    for index in range(max(map(len, cells))):
        parts = [cell[index] if index < len(cell) else "" for cell in cells]
        lines.append(GAP.join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip())
    return lines


def _below_name(row: Sequence[str], width: int | None) -> list[str]:
    name, *others = row
    indent = " " * (len(name) - len(name.lstrip())) + 2 * GAP
    room = max((width or 0) - len(indent), 1)
    return [*_wrapped(name, width or len(name)), *(indent + line for text in others for line in _wrapped(text, room) if line)]


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines between words, without blanks at line ends. A word that is too wide has a line of its own."""
    text = text.rstrip()
    if len(text) <= width:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()))
    lines = [indent]
    for word in text.split():
        line = f"{lines[-1]} {word}" if lines[-1].strip() else indent + word
        if len(line) <= width or not lines[-1].strip():
            lines[-1] = line
        else:
            lines.append(indent + word)
    return lines


def print_bytes(title: str, data: bytes) -> None:
    """Print a hex dump, 16 bytes on a line, without repeated lines."""
    typer.echo(f"{title} ({len(data)} bytes)")
    for line in dump(data):
        typer.echo(f"  {line}")


def dump(data: bytes) -> Sequence[str]:
    """Return the lines of a hex dump: offset and bytes. `*` replaces lines that are equal to the line above."""
    lines: list[str] = []
    shown = data[:MAX_DUMP_BYTES]
    previous = None
    for offset in range(0, len(shown), DUMP_BYTES):
        part = shown[offset : offset + DUMP_BYTES]
        if part != previous:
            lines.append(f"{offset:04x}  {part.hex(' ')}")
        elif lines[-1] != "*":
            lines.append("*")
        previous = part
    if len(shown) < len(data):
        lines.append(f"and {len(data) - len(shown)} bytes more")
    return lines
