"""Tests that the tables in docs/store-format.md agree with the code."""

import json
import re
from pathlib import Path

import pytest

from odx_target.store.catalogue import node_codec, sqlite
from odx_target.store.log import batch, footer, records, shared_headers
from odx_target.store.log.compressed import codecs
from odx_target.store.log.compressed import compressed_extents as extents
from odx_target.store.opening.capacity_directory import TIER_NAME, open_capacity
from odx_target.store.opening.format_head import FORMAT_VERSION, encode_head, new_head
from odx_target.store.segments import places

TEXT = (Path(__file__).parents[2] / "docs" / "store-format.md").read_text()


def rows(section: str) -> list[list[str]]:
    """The rows of the first table of a section, without its head."""
    body = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def sizes(form: str) -> list[int]:
    """The size of each field of a struct format, in its order."""
    widths = {"B": 1, "?": 1, "H": 2, "I": 4, "Q": 8}
    found = re.findall(r"(\d*)([a-zA-Z?])", form)
    return [size for count, code in found for size in ([int(count)] if code == "s" else [widths[code]] * int(count or 1))]


@pytest.mark.parametrize(
    ("section", "form"), [("Batch", batch._HEAD.format), ("Footer", footer._TAIL.format), ("Extent", extents._HEAD.format)]
)
def test_fields_lie_where_the_page_has_them(section: str, form: str) -> None:
    fields = [(int(row[0]), int(row[1])) for row in rows(section) if row[0].isdigit() and row[1].isdigit()]
    assert [size for _, size in fields] == sizes(form)
    assert [offset for offset, _ in fields] == [sum(sizes(form)[:index]) for index in range(len(fields))]


def test_formats_are_those_of_the_page() -> None:
    assert int(TEXT.partition("This page describes format ")[2].partition(".")[0]) == FORMAT_VERSION
    assert f"| `format` | {FORMAT_VERSION}; " in TEXT
    for section, version in (("Batch", batch.FORMAT_VERSION), ("Footer", footer.FORMAT_VERSION)):
        assert [row[2] for row in rows(section) if row[2].startswith("format")] == [f"format, {version}"]
    assert f"the user version {sqlite.FORMAT}" in TEXT


def test_shared_headers_are_as_on_the_page() -> None:
    body = " ".join(TEXT.partition("\n## Batch\n")[2].partition("\n## Records\n")[0].split())
    assert f"multiple of {shared_headers.SLOT_BYTES} bytes" in body
    assert f"fewer than {shared_headers.MIN_SHARED_BYTES} bytes" in body
    flags = next(row[2] for row in rows("Batch") if row[2].startswith("flags"))
    assert flags == "flags; bit 0: the commit continues in the next batch; bit 1: the header is shared"
    assert (batch.CONTINUED, batch.SHARED) == (1, 2)


def test_fields_of_the_documents_are_on_the_page(tmp_path: Path) -> None:
    head = new_head(bytes(16))._replace(capacity_directory="/tier")
    assert set(json.loads(encode_head(head))) == {row[0].strip("`") for row in rows("Head")}
    open_capacity(tmp_path, Path("/pool"), head, 1, may_make=True).close()
    document = json.loads((tmp_path / TIER_NAME).read_text())
    body = TEXT.partition("| field of `tier.json` | value |")[2].partition("\n\n")[0]
    assert list(document) == re.findall(r"^\| `(\w+)` \|", body, flags=re.MULTILINE)


def test_limits_and_codecs_are_those_of_the_page() -> None:
    body = " ".join(TEXT.partition("\n## Place\n")[2].partition("\n## Batch\n")[0].split())
    codec_row = next(row[2] for row in rows("Extent") if row[2].startswith("codec"))
    assert [int(number) for number in re.findall(r"(\d+): ", codec_row)] == [codec.value for codec in codecs.Codec]
    assert f"a number above {places.MAX_EXTENT_SEGMENT:,} has no extents" in body
    assert f"has 2 to {places.MAX_EXTENT_BLOCKS} adjacent blocks" in body
    assert f"at most {places.MAX_STORED_BLOCKS}." in body


def test_each_kind_of_record_is_on_the_page() -> None:
    page = {int(row[0]): (row[1], row[2]) for row in rows("Records")}
    assert page.keys() == records._FIXED.keys() | records._DECODE_VARIABLE.keys()
    for kind, (cls, form) in records._FIXED.items():
        expected = ", ".join(
            f"{size} {field}"
            for size, field in zip(sizes(form.format), cls._fields, strict=True)  # type: ignore[attr-defined]
        )
        assert page[kind] == (cls.__name__, expected)


def test_each_form_of_a_node_is_on_the_page() -> None:
    body = TEXT.partition("| form | contents |")[2]
    forms = [node_codec.PACKED_LEAF, node_codec.DENSE_LEAF, node_codec.PACKED_INNER, node_codec.DENSE_INNER]
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", body, flags=re.MULTILINE)] == forms
