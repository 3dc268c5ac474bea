"""How rows are laid out: at any width nothing is lost, cut inside a byte, or wider than the terminal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from odx_target.target.commands import tables
from odx_target.target.commands.tables import HEADINGS, print_rows

NAME = "iqn.2026-11.io.odx-target:array"
ROWS = [
    ("logical_blocks_per_physical_block_exponent", "3", ""),
    ("designator", bytes(range(0x60, 0x74)).hex(), ""),
    ("  designator", NAME, "SCSI name string"),
    ("rod_type", "0x800000", "point in time copy, default"),
    ("cdb", bytes(range(16)).hex(" "), ""),
]


def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, rows: list[tables.Row]
) -> list[str]:
    monkeypatch.setattr(tables, "console", lambda: Console(highlight=False, width=width))
    print_rows("a title", rows)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_rows_fit_and_break_between_words_and_bytes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    lines = printed(monkeypatch, capsys, width, ROWS)
    assert lines[0].strip() == "a title"
    assert all(len(line) <= width for line in lines)
    words = " ".join(lines).split()
    assert NAME in words
    for name, _, meaning in ROWS:
        assert set(name.replace("_", " ").split()) | set(meaning.split()) <= set(words)
    assert [word for word in words if re.fullmatch(r"6[0-9a-f]|7[0-3]", word)] == [f"{byte:02x}" for byte in range(0x60, 0x74)]


def test_with_room_a_row_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(monkeypatch, capsys, 200, ROWS)
    assert len([line for line in lines if line.strip()]) == 3 + len(ROWS)  # a title, headings and the line under them


def test_what_a_target_sent_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = "\n".join(printed(monkeypatch, capsys, 80, [("designator", "a\x1b[2J\x07b[red]c", "\r\n")]))
    assert "\x1b" not in output
    assert "a\\x1b[2J\\x07b[red]c" in output
    assert "\\x0d\\x0a" in output


@given(
    rows=st.lists(st.tuples(*[st.text(max_size=90)] * 3), max_size=5),
    room=st.integers(min_value=30, max_value=220),
)
def test_columns_never_take_more_than_their_texts_or_the_room(rows: list[tables.Row], room: int) -> None:
    longest = [max(len(row[index]) for row in [HEADINGS, *rows]) for index in range(3)]
    widths = tables._widths([HEADINGS, *rows], room)
    assert all(width <= wanted for width, wanted in zip(widths, longest, strict=True))
    assert sum(widths) <= max(room, 3 * tables.LONGEST_WORD)
    assert sum(widths) >= min(room, sum(longest))
