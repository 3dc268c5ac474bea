"""Rows of fields and dumps of bytes on the terminal."""

from collections.abc import Iterable, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

DUMP_BYTES = 16
MAXIMUM_DUMP_BYTES = 4096
"""Longer data say no more to a reader."""
WIDTH_OF_FILES = 160

Row = tuple[str, str, str]
"""A field's name, its value, what it means."""


def console() -> Console:
    """Standard output; wide enough for the rows also where it is no terminal."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH_OF_FILES)


def print_rows(title: str, rows: Iterable[Row]) -> None:
    """A table of fields; nothing in it is taken for markup."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", show_lines=False)
    for heading in ("field", "value", "meaning"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


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
