"""Rows of fields and dumps of bytes on the terminal."""

import re
from collections.abc import Iterable, Sequence

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

HEADINGS = ("field", "value", "meaning")
DUMP_BYTES = 16
MAXIMUM_DUMP_BYTES = 4096
"""Longer data say no more to a reader."""
WIDTH_OF_FILES = 160
LONGEST_WORD = 40
"""A longer one may be broken: it would leave the other columns of a narrow terminal no room."""
GAP = 3
"""Between columns."""

_LONG_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{2}){8,}")

Row = tuple[str, str, str]
"""A field's name, its value, what it means."""


def console() -> Console:
    """Standard output; wide enough for the rows also where it is no terminal."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH_OF_FILES)


def print_rows(title: str, rows: Iterable[Row]) -> None:
    """A table of fields as wide as the terminal at most: names and bytes are broken between words and between bytes.

    Nothing in it is taken for markup, and what a target sent cannot steer the terminal.
    """
    cells = [tuple(map(_cell, (_name(name), value, words))) for name, value, words in rows]
    terminal = console()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, title=Text(title, "bold"), title_justify="left")
    room = terminal.width - (len(HEADINGS) - 1) * GAP
    for heading, width in zip(HEADINGS, _widths([HEADINGS, *cells], room), strict=True):
        table.add_column(heading, width=width, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    terminal.print(table)
    terminal.print()


def print_columns(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of any columns, as wide as the terminal at most."""
    cells = [tuple(map(_printable, row)) for row in rows]
    terminal = console()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    room = terminal.width - (len(headings) - 1) * GAP
    for heading, width in zip(headings, _widths([headings, *cells], room), strict=True):
        table.add_column(heading, width=width, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    terminal.print(table)


def _name(name: str) -> str:
    """A field as the standard spells it: in words, after the blanks that show that it belongs to what is above."""
    return name.replace("_", " ")


def _cell(text: str) -> str:
    """Only what can be printed, and bytes apart from each other, so that a line ends between two of them."""
    if _LONG_HEXADECIMAL.fullmatch(text):
        text = bytes.fromhex(text).hex(" ")
    return _printable(text)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


def _widths(rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """What each column gets: its longest text if there is room; else its longest word, and an equal share of what is left."""
    columns = list(zip(*rows, strict=True))
    wanted = [max(map(len, column)) for column in columns]
    widths = [min(LONGEST_WORD, max(len(word) for text in column for word in text.split() or [""])) for column in columns]
    while sum(widths) < room and widths != wanted:
        narrowest = min((index for index in range(len(widths)) if widths[index] < wanted[index]), key=widths.__getitem__)
        widths[narrowest] += 1
    return widths


def print_bytes(title: str, data: bytes) -> None:
    """A hex dump, 16 bytes a line, runs of equal lines left out."""
    typer.echo(f"{title} ({len(data)} bytes)")
    for line in dump(data):
        typer.echo(f"  {line}")


def dump(data: bytes) -> Sequence[str]:
    """Lines of a hex dump: offset and bytes; `*` stands for lines equal to the one above."""
    lines: list[str] = []
    shown = data[:MAXIMUM_DUMP_BYTES]
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
