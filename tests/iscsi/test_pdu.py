"""Headers in both directions, by both codecs, and compared with bytes written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.iscsi.pdu import headers as pdu
from odx_target.iscsi.pdu.opcodes import Opcode
from tests.iscsi.examples import pdus

GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "iscsi_headers.json").read_text())["headers"]
HOT = (pdu.ScsiCommand, pdu.ScsiResponse, pdu.ScsiDataOut, pdu.ScsiDataIn, pdu.ReadyToTransfer)


def from_json(kind: str, fields: dict[str, Any]) -> pdu.Pdu:
    values = {name: bytes.fromhex(value) if isinstance(value, str) else value for name, value in fields.items()}
    built: pdu.Pdu = getattr(pdu, kind)(**values)
    return built


@pytest.mark.parametrize("row", GOLDEN, ids=[row["pdu"] for row in GOLDEN])
def test_golden_headers_both_ways(row: dict[str, Any]) -> None:
    expected = from_json(row["pdu"], row["fields"])
    header = bytes.fromhex(row["header"])
    assert pdu.decode_header(header) == expected
    assert expected.encode_header() == header
    assert pdu.encode_by_format(expected) == header


def test_every_opcode_has_a_golden_header() -> None:
    assert {row["pdu"] for row in GOLDEN} == {kind.__name__ for kind in pdu.PDU_CLASSES.values()}
    assert set(pdu.PDU_CLASSES) == set(Opcode)


@given(pdus())
@settings(max_examples=300, deadline=None)
def test_headers_survive_both_ways(example: pdu.Pdu) -> None:
    header = example.encode_header()
    assert len(header) == 48
    assert pdu.decode_header(header) == example
    assert pdu.decode_header(memoryview(header + b"trailing")) == example


@given(pdus(*HOT))
@settings(max_examples=300, deadline=None)
def test_fast_encoders_equal_the_definitions(example: pdu.Pdu) -> None:
    assert example.encode_header() == pdu.encode_by_format(example)


@given(st.sampled_from(HOT), st.binary(min_size=48, max_size=48))
@settings(max_examples=500, deadline=None)
def test_fast_decoders_equal_the_definitions_on_any_bytes(kind: type[pdu.Pdu], raw: bytes) -> None:
    assert kind.decode(raw) == kind.decode_by_format(raw)


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_decode_or_are_refused_in_words(raw: bytes) -> None:
    if len(raw) < 48 or raw[0] & 0x3F not in set(Opcode):
        with pytest.raises(ValueError, match="iSCSI"):
            pdu.decode_header(raw)
    else:
        decoded = pdu.decode_header(raw)
        assert pdu.decode_header(decoded.encode_header()) == decoded


def test_unknown_opcode_is_named() -> None:
    with pytest.raises(pdu.UnknownOpcode, match="0x1c"):
        pdu.decode_header(b"\x1c" + bytes(47))


LUNS = [(0, 0), (1, 0x0001 << 48), (255, 0x00FF << 48), (256, 0x4100 << 48), (16383, 0x7FFF << 48)]


@pytest.mark.parametrize(("number", "field"), LUNS)
def test_lun_both_ways(number: int, field: int) -> None:
    assert pdu.encode_lun(number) == field
    assert pdu.decode_lun(field) == number


def test_small_lun_in_flat_space_form_is_the_same_lun() -> None:
    assert pdu.decode_lun(0x4005 << 48) == 5


@pytest.mark.parametrize("field", [0x0100 << 48, 0xC101 << 48, 0x8000 << 48, 1, 0x0001_0001 << 32, 2**64 - 1])
def test_other_lun_forms_name_no_single_level_lun(field: int) -> None:
    assert pdu.decode_lun(field) == pdu.LUN_NOT_SINGLE_LEVEL


@pytest.mark.parametrize("number", [-1, 16384])
def test_lun_past_the_field_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="single-level"):
        pdu.encode_lun(number)
