"""`decode` of every golden message of the fixtures, of the pages of an array, and of invalid bytes."""

import json
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.cli.hosts.token.describe import describe_rod_token, descriptions, table_rows
from odx_target.cli.text.describe_pdu import describe_pdu
from odx_target.cli.text.tables import Row, print_rows
from odx_target.initiator.cdb import inquiry
from odx_target.iscsi.pdu.headers import HEADER_BYTES, LoginRequest
from odx_target.scsi.describe.data import describe_cdb, describe_sense, describe_vpd
from tests.copymgr.golden import FIXTURES as COPYMGR
from tests.copymgr.golden import golden
from tests.target.running import running, session_with, settled

FOLDER = Path(__file__).parents[2] / "fixtures"
CDBS = tomllib.loads((FOLDER / "scsi_cdbs.toml").read_text())["cdb"]
SENSE = tomllib.loads((FOLDER / "scsi_sense.toml").read_text())
HEADERS = json.loads((FOLDER / "iscsi_headers.json").read_text())["headers"]
PAGES = {
    0x00: "Supported VPD Pages",
    0x80: "Unit Serial Number",
    0x83: "Device Identification",
    0x86: "Extended INQUIRY Data",
    0x8F: "Third-party Copy",
    0xB0: "Block Limits",
    0xB1: "Block Device Characteristics",
    0xB2: "Logical Block Provisioning",
}

DECODERS: dict[str, Callable[[bytes], list[Row]]] = {
    "cdb": lambda data: table_rows(describe_cdb(data, descriptions())),
    "sense": lambda data: table_rows(describe_sense(data)),
    "vpd": lambda data: table_rows(describe_vpd(data, descriptions())),
    "token": describe_rod_token,
    "pdu": describe_pdu,
}


def words(rows: list[Row]) -> str:
    return "\n".join(" ".join(row) for row in rows)


@pytest.mark.parametrize("row", CDBS, ids=lambda row: f"{row['origin']} {row['name']}")
def test_cdbs(row: dict[str, str]) -> None:
    assert row["name"] in words(DECODERS["cdb"](bytes.fromhex(row["cdb"])))


@pytest.mark.parametrize("name", ["populate_token", "rod_token_information", "write_using_token"])
def test_cdbs_of_token_copy(name: str) -> None:
    assert name.replace("_", " ").upper() in words(DECODERS["cdb"](golden(name, "cdb")))


@pytest.mark.parametrize("row", [row for rows in SENSE.values() for row in rows], ids=lambda row: row["what"])
def test_sense_data_fixed_and_by_descriptors(row: dict[str, str]) -> None:
    rows = DECODERS["sense"](bytes.fromhex(row["sense"]))
    assert any(each[0] == "sense_key" and each[2] for each in rows)


@pytest.mark.parametrize("name", [name for name in COPYMGR if "third_party_copy_page" in name])
def test_third_party_copy_pages(name: str) -> None:
    assert "block device ROD token limits" in words(DECODERS["vpd"](golden(name)))


def test_the_identifier_of_a_token_is_a_number_and_no_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    token = golden("token_head")[:8] + bytes.fromhex("ab54a98ceb1f0ad2") + golden("token_head")[16:]
    print_rows("token", describe_rod_token(token))
    assert ["copy", "manager", "rod", "token", "identifier", "0xab54a98ceb1f0ad2", "12345678901234567890"] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]


def test_tokens() -> None:
    told = words(DECODERS["token"](golden("token_head")))
    assert "point in time copy, default" in told
    assert "7864320" in told
    assert "iqn.2024-01.example:array0" in told
    assert "block device zero" in words(DECODERS["token"](golden("zero_token")))


@pytest.mark.parametrize("row", HEADERS, ids=lambda row: row["pdu"])
def test_pdus(row: dict[str, str]) -> None:
    assert ("PDU", row["pdu"]) in [each[:2] for each in DECODERS["pdu"](bytes.fromhex(row["header"]))]


async def test_the_pages_of_an_array() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        for page, name in PAGES.items():
            result = await session.execute(0, inquiry(1024, page), data_in_bytes=1024)
            assert name.lower() in words(DECODERS["vpd"](bytes(result.data_in))).lower()


@pytest.mark.parametrize("kind", DECODERS)
@given(data=st.binary(max_size=600))
def test_any_bytes_are_described_or_refused(kind: str, data: bytes) -> None:
    for each in (data, bytes([0x01]) + data.ljust(HEADER_BYTES, b"\0"), b"\x00\x8f" + data, b"\x72" + data):
        with suppress(ValueError):
            assert DECODERS[kind](each)


def test_a_login_is_decoded_without_challenges_and_responses() -> None:
    text = b"CHAP_N=me\0CHAP_R=0x0123456789abcdef\0CHAP_I=1\0CHAP_C=0x76543210\0"
    header = LoginRequest(data_segment_length=len(text)).encode_header()
    rows = DECODERS["pdu"](header + text + bytes(-len(text) % 4))
    assert [each[1] for each in rows[-4:]] == ["me", "(18 characters)", "1", "(10 characters)"]
