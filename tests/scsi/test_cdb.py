import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.cdb.table import CDB_LAYOUTS
from odx_target.scsi.cdb.transfer import TRANSFER_6, TRANSFER_10, TRANSFER_12, TRANSFER_16
from odx_target.scsi.commands.blocks import block_transfer, cache
from odx_target.scsi.commands.standard import standard_commands
from tests.scsi.layouts import named_bits

FIXTURE = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "scsi_cdbs.toml").read_text())
FAST = {
    0x28: TRANSFER_10,
    0x2A: TRANSFER_10,
    0x88: TRANSFER_16,
    0x8A: TRANSFER_16,
    0xA8: TRANSFER_12,
    0xAA: TRANSFER_12,
}


@pytest.mark.parametrize("case", FIXTURE["cdb"], ids=lambda case: f"{case['origin']} {case['name']}")
def test_cdbs_of_real_initiators(case):
    raw = bytes.fromhex(case["cdb"])
    known = CDB_LAYOUTS.get((raw[0], None)) or CDB_LAYOUTS[raw[0], raw[1] & 0x1F]
    assert known.name == case["name"]
    assert known.layout.parse(raw).values().items() >= case["fields"].items()
    assert known.layout(operation_code=raw[0], **case["fields"]).build() == raw


@pytest.mark.parametrize("operation_code", FAST)
@given(rest=st.binary(min_size=15, max_size=15))
def test_the_fast_decoders_see_what_the_layouts_say(operation_code, rest):
    raw = bytes((operation_code,)) + rest
    fields = CDB_LAYOUTS[operation_code, None].layout.parse(raw)
    byte_1, lba, count_blocks = FAST[operation_code].unpack_from(raw)
    assert (lba, count_blocks) == (fields.logical_block_address, fields.transfer_length)
    assert bool(byte_1 & 0x08) == fields.fua
    assert bool(byte_1 & 0x10) == fields.dpo


@pytest.mark.parametrize("operation_code", cache._FAST_SYNCHRONIZE_CACHE)
@given(rest=st.binary(min_size=15, max_size=15))
def test_the_fast_decoder_of_synchronize_cache(operation_code, rest):
    raw = bytes((operation_code,)) + rest
    fields = CDB_LAYOUTS[operation_code, None].layout.parse(raw)
    byte_1, lba, count_blocks = cache._FAST_SYNCHRONIZE_CACHE[operation_code].unpack_from(raw)
    assert (lba, count_blocks) == (fields.logical_block_address, fields.number_of_logical_blocks)
    assert bool(byte_1 & cache._IMMED_BIT) == fields.immed


@pytest.mark.parametrize("operation_code", [0x08, 0x0A])
@given(rest=st.binary(min_size=15, max_size=15))
def test_the_fast_decoder_of_the_6_byte_forms(operation_code, rest):
    raw = bytes((operation_code,)) + rest
    fields = CDB_LAYOUTS[operation_code, None].layout.parse(raw)
    byte_1, lba, count_blocks = block_transfer._decode_6(raw)
    assert (byte_1, lba, count_blocks) == (0, fields.logical_block_address, fields.transfer_length or 256)
    assert TRANSFER_6.size == 5


@pytest.mark.parametrize("row", standard_commands(), ids=lambda row: row.name)
def test_a_usage_mask_names_only_bits_of_the_commands_fields(row):
    known = CDB_LAYOUTS[row.operation_code, row.service_action]
    assert known.name == row.name
    assert row.cdb_bytes == known.layout.size_bytes
    assert row.usage[0] == row.operation_code
    assert row.usage[-1] == 0, "no bit of the CONTROL byte is honoured"
    if row.service_action is not None:
        assert row.usage[1] & 0x1F == row.service_action
    mask = named_bits(known.layout)
    assert not any(used & ~named for used, named in zip(row.usage, mask, strict=True))
