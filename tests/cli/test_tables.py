"""The layout of rows: at any width no text is lost, no word is split, and no line ends with blanks."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from odx_target.cli.text import tables
from odx_target.cli.text.tables import GAP, HEADINGS, column_lines, field_lines, print_columns, print_rows

NAME = "iqn.2026-11.io.odx-target:array"
LONG_NAME = f"iqn.2026-11.io.odx-target:{'x' * 180}"
DESIGNATOR = bytes(range(0x60, 0x74)).hex()
IDENTIFIER = "12345678901234567890"
ROWS = [
    ("logical_blocks_per_physical_block_exponent", "3", ""),
    ("designator", DESIGNATOR, ""),
    ("  designator", NAME, "SCSI name string"),
    ("rod_type", "0x800000", "point in time copy, default"),
    ("copy_manager_rod_token_identifier", "0xab54a98ceb1f0ad2", IDENTIFIER),
    ("cdb", bytes(range(16)).hex(" "), ""),
]
TOKENS = [("0123456789abcdef", "point in time default", "first", "0,1 2,1 4,1 6,1 and 2 more", "3.0 KiB", "1 s", "29 s", "")]
TOKEN_HEADINGS = ("identifier", "type", "LUN", "ranges: LBA, blocks", "size", "age", "left", "in use")


def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int | None, rows: list[tables.Row]
) -> list[str]:
    monkeypatch.setattr(tables, "width_of_terminal", lambda: width)
    print_rows("a title", rows)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [None, 20, 40, 60, 80, 100, 200])
def test_no_identifier_is_split_and_no_line_is_padded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int | None
) -> None:
    lines = printed(monkeypatch, capsys, width, [*ROWS, ("initiator", LONG_NAME, "")])
    assert lines[0] == "a title"
    words = " ".join(lines).split()
    assert " ".join(f"{byte:02x}" for byte in range(0x60, 0x74)) in " ".join(words)
    assert {NAME, LONG_NAME, IDENTIFIER, "0xab54a98ceb1f0ad2"} <= set(words)
    for name, _, meaning in ROWS:
        assert set(name.replace("_", " ").split()) | set(meaning.split()) <= set(words)
    assert [line for line in lines if line != line.rstrip()] == []
    if width is not None:
        assert [line for line in lines if len(line) > width and len(line.split()) > 1] == []


def test_in_a_pipe_a_row_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(monkeypatch, capsys, None, [*ROWS, ("initiator", LONG_NAME, "")])
    assert len([line for line in lines if line.strip()]) == 3 + len(ROWS) + 1  # a title, headings and the line under them


def test_columns_in_a_pipe_and_on_terminals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tables, "width_of_terminal", lambda: None)
    print_columns(TOKEN_HEADINGS, TOKENS)
    assert len(capsys.readouterr().out.splitlines()) == 3
    for width in (40, 60, 80, 120):
        lines = column_lines(TOKEN_HEADINGS, TOKENS, width)
        assert max(map(len, lines)) <= width
        assert any(TOKENS[0][0] in line for line in lines)
    assert "identifier           0123456789abcdef" in column_lines(TOKEN_HEADINGS, TOKENS, 40)


def test_what_a_target_sent_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = "\n".join(printed(monkeypatch, capsys, 80, [("designator", "a\x1b[2J\x07b[red]c", "\r\n")]))
    assert "\x1b" not in output
    assert "a\\x1b[2J\\x07b[red]c" in output
    assert "\\x0d\\x0a" in output


texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=90)


@example(rows=[("", "", " ")], width=1)
@example(rows=[("  ", "a ", "")], width=1)
@given(rows=st.lists(st.tuples(texts, texts, texts), max_size=5), width=st.none() | st.integers(min_value=1, max_value=220))
def test_every_word_is_there_at_any_width(rows: list[tables.Row], width: int | None) -> None:
    wanted = sorted(word for row in rows for cell in row for word in cell.split())
    for lines in (field_lines(rows, width), column_lines(HEADINGS, rows, width)):
        found = " ".join(lines).split()
        assert set(wanted) <= set(found)
        assert len(found) >= len(wanted)
        assert all(line == line.rstrip() for line in lines)


@given(rows=st.lists(st.tuples(texts, texts, texts), max_size=5), room=st.integers(min_value=30, max_value=220))
def test_columns_never_take_more_than_their_texts_or_the_room(rows: list[tables.Row], room: int) -> None:
    widths = tables._widths([HEADINGS, *rows], room)
    longest = [max(len(row[index]) for row in [HEADINGS, *rows]) for index in range(3)]
    if widths is None:
        return
    assert all(width <= wanted for width, wanted in zip(widths, longest, strict=True))
    assert sum(widths) + 2 * len(GAP) <= room
    assert sum(widths) >= min(room - 2 * len(GAP), sum(longest))
