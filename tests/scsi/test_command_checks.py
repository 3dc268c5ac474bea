"""The checks of CDBs, one line each: the CDB and the resulting sense data."""

import pytest

from tests.scsi.array import UnitUnderTest, code_of

INVALID_FIELD = (5, 0x24, 0)
INVALID_OPERATION_CODE = (5, 0x20, 0)
OUT_OF_RANGE = (5, 0x21, 0)

# CDB, sense code, byte and bit at fault (None: no field pointer, no bit pointer).
REFUSED = [
    # Unsupported commands and service actions.
    ("ff 00 00 00 00 00", INVALID_OPERATION_CODE, 0, None),
    ("83 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00", INVALID_OPERATION_CODE, 0, None),
    ("9e 1f 00 00 00 00 00 00 00 00 00 00 00 ff 00 00", INVALID_FIELD, 1, 4),
    ("a3 00 00 00 00 00 00 00 00 ff 00 00", INVALID_FIELD, 1, 4),
    # The CONTROL byte: NACA, and reserved bits.
    ("00 00 00 00 00 04", INVALID_FIELD, 5, 2),
    ("12 00 00 00 ff 80", INVALID_FIELD, 5, 7),
    ("28 00 00 00 00 00 00 00 01 04", INVALID_FIELD, 9, 2),
    ("88 00 00 00 00 00 00 00 00 00 00 00 00 01 00 01", INVALID_FIELD, 15, 0),
    # Reserved bits.
    ("00 00 01 00 00 00", INVALID_FIELD, 2, 0),
    ("12 02 00 00 ff 00", INVALID_FIELD, 1, 1),
    ("12 00 00 00 ff 00 00 00 00 00 00 00 00 00 00 00", None, None, None),
    ("03 02 00 00 12 00", INVALID_FIELD, 1, 1),
    ("25 00 00 00 00 01 00 00 00 00", INVALID_FIELD, 5, 0),
    ("25 00 00 00 00 00 00 00 01 00", INVALID_FIELD, 8, 0),
    ("9e 10 00 00 00 00 00 00 00 00 00 00 00 20 01 00", INVALID_FIELD, 14, 0),
    ("9e 12 00 00 00 00 00 00 00 00 00 00 00 20 01 00", INVALID_FIELD, 14, 0),
    # Protection information.
    ("28 20 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 5),
    ("28 e0 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 7),
    ("2a 20 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 5),
    ("88 40 00 00 00 00 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 6),
    ("8a 40 00 00 00 00 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 6),
    ("a8 20 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 5),
    ("aa 20 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 5),
    ("2f 20 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 5),
    ("2e 20 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 5),
    ("41 20 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 5),
    ("8b 80 00 00 00 00 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 7),
    ("8e 40 00 00 00 00 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 6),
    ("ae 20 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 5),
    ("93 20 00 00 00 00 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 5),
    # Ranges beyond the end of 8,192 blocks, and up to the end.
    ("08 00 20 00 01 00", OUT_OF_RANGE, None, None),
    ("0a 00 20 00 01 00", OUT_OF_RANGE, None, None),
    ("28 00 00 00 20 00 00 00 01 00", OUT_OF_RANGE, None, None),
    ("28 00 00 00 1f ff 00 00 02 00", OUT_OF_RANGE, None, None),
    ("28 00 00 00 1f ff 00 00 01 00", None, None, None),
    ("28 00 00 00 20 00 00 00 00 00", None, None, None),
    ("28 00 00 00 20 01 00 00 00 00", OUT_OF_RANGE, None, None),
    ("2a 00 00 00 20 00 00 00 01 00", OUT_OF_RANGE, None, None),
    ("88 00 ff ff ff ff ff ff ff ff 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("8a 00 00 00 00 00 00 00 20 00 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("a8 00 00 00 20 00 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("aa 00 00 00 20 00 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("2f 00 00 00 20 00 00 00 01 00", OUT_OF_RANGE, None, None),
    ("2e 00 00 00 20 00 00 00 01 00", OUT_OF_RANGE, None, None),
    ("34 00 00 00 20 00 00 00 01 00", OUT_OF_RANGE, None, None),
    ("34 00 00 00 20 01 00 00 00 00", OUT_OF_RANGE, None, None),
    ("90 00 00 00 00 00 00 00 20 00 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("8b 00 00 00 00 00 00 00 20 00 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("8e 00 ff ff ff ff ff ff ff ff 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("ae 00 00 00 20 00 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("af 00 00 00 20 00 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("8f 00 00 00 00 00 00 00 20 00 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("41 08 00 00 1f ff 00 00 02 00", OUT_OF_RANGE, None, None),
    ("35 00 00 00 1f ff 00 00 02 00", OUT_OF_RANGE, None, None),
    ("91 00 00 00 00 00 00 00 20 00 00 00 00 01 00 00", OUT_OF_RANGE, None, None),
    ("93 01 00 00 00 00 00 00 1f ff 00 00 00 02 00 00", OUT_OF_RANGE, None, None),
    ("9e 12 00 00 00 00 00 00 20 00 00 00 00 20 00 00", OUT_OF_RANGE, None, None),
    # INQUIRY.
    ("12 00 80 00 ff 00", INVALID_FIELD, 2, None),
    ("12 01 c7 00 ff 00", INVALID_FIELD, 2, None),
    ("12 01 8f 00 ff 00", INVALID_FIELD, 2, None),
    # MODE SENSE.
    ("1a 00 c8 00 ff 00", (5, 0x39, 0), None, None),
    ("1a 00 ff 00 ff 00", (5, 0x39, 0), None, None),
    ("5a 00 c8 00 00 00 00 00 ff 00", (5, 0x39, 0), None, None),
    ("1a 00 02 00 ff 00", INVALID_FIELD, 2, 5),
    ("1a 00 08 01 ff 00", INVALID_FIELD, 3, None),
    ("5a 00 3f 01 00 00 00 00 ff 00", INVALID_FIELD, 3, None),
    ("5a 00 02 00 00 00 00 00 ff 00", INVALID_FIELD, 2, 5),
    # REPORT LUNS.
    ("a0 00 03 00 00 00 00 00 10 00 00 00", INVALID_FIELD, 2, None),
    ("a0 00 10 00 00 00 00 00 10 00 00 00", INVALID_FIELD, 2, None),
    ("a0 00 00 00 00 00 00 00 00 0f 00 00", None, None, None),
    # READ LONG and WRITE LONG are optional (SBC-3), and obsolete or optional in SBC-4.
    ("3e 00 00 00 00 00 00 02 00 00", INVALID_OPERATION_CODE, 0, None),
    ("3f 00 00 00 00 00 00 02 00 00", INVALID_OPERATION_CODE, 0, None),
    ("9e 11 00 00 00 00 00 00 00 00 00 00 02 00 00 00", INVALID_FIELD, 1, 4),
    ("9f 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00", INVALID_OPERATION_CODE, 0, None),
    ("a0 00 00 00 00 00 00 00 00 10 00 00", None, None, None),
    # START STOP UNIT: no power conditions, nothing to load.
    ("1b 00 00 00 11 00", INVALID_FIELD, 4, 4),
    ("1b 00 00 00 02 00", INVALID_FIELD, 4, 1),
    ("1b 00 00 01 01 00", INVALID_FIELD, 3, 0),
    # VERIFY.
    ("2f 04 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 2),
    ("2f 02 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 2),
    ("af 02 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 2),
    ("af 04 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 2),
    ("2e 04 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 2),
    ("2e 06 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 2),
    # UNMAP and WRITE SAME: anchors are not supported, a count of zero is refused, and so is more than VPD page B0h allows.
    ("42 01 00 00 00 00 00 00 00 00", INVALID_FIELD, 1, 0),
    ("41 10 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 4),
    ("41 08 00 00 00 00 00 00 00 00", INVALID_FIELD, 7, None),
    ("41 00 00 00 00 00 00 00 01 00", INVALID_FIELD, 1, 0),
    ("93 10 00 00 00 00 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 4),
    ("93 18 00 00 00 00 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 4),
    ("93 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00", INVALID_FIELD, 10, None),
    ("93 01 00 00 00 00 00 00 00 00 00 20 00 01 00 00", INVALID_FIELD, 10, None),
    ("93 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", INVALID_FIELD, 1, 0),
    # REPORT SUPPORTED OPERATION CODES: options that do not suit the command.
    ("a3 0c 01 9e 00 10 00 00 00 ff 00 00", INVALID_FIELD, 2, 2),
    ("a3 0c 02 28 00 00 00 00 00 ff 00 00", INVALID_FIELD, 2, 2),
    ("a3 0c 04 28 00 00 00 00 00 ff 00 00", INVALID_FIELD, 2, 2),
    ("a3 0c 07 28 00 00 00 00 00 ff 00 00", INVALID_FIELD, 2, 2),
    ("a3 0d 00 00 00 00 00 00 00 03 00 00", INVALID_FIELD, 6, None),
]


@pytest.mark.parametrize(("cdb", "code", "byte", "bit"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_cdb_is_refused_where_it_is_wrong(cdb, code, byte, bit):
    unit = UnitUnderTest()
    reply = unit.command(cdb)
    if code is None:
        assert reply.status == 0
        return
    assert code_of(reply) == code
    if byte is None:
        assert not reply.sense[15]
    else:
        assert reply.sense[15] == 0xC0 | (0 if bit is None else 0x08 | bit)
        assert int.from_bytes(reply.sense[16:18], "big") == byte
    assert not unit.volume.writes
    assert not unit.internal_errors


@pytest.mark.parametrize(
    ("cdb", "information"),
    [("28 00 00 00 1f ff 00 00 02 00", 0x2000), ("28 00 00 00 20 05 00 00 02 00", 0x2005)],
)
def test_out_of_range_names_the_first_block_that_is_not_there(cdb, information):
    sense = UnitUnderTest().command(cdb).sense
    assert sense[0] == 0xF0
    assert int.from_bytes(sense[3:7], "big") == information


@pytest.mark.parametrize("size_bytes", range(1, 10))
def test_a_cdb_cut_short_is_refused(size_bytes):
    unit = UnitUnderTest()
    _, outcome = unit.server.execute(unit.nexus, 0, bytes.fromhex("28000000000000000100")[:size_bytes], (), 1, 1)
    assert code_of(outcome) == INVALID_FIELD


def test_no_cdb_at_all_is_refused():
    unit = UnitUnderTest()
    _, outcome = unit.server.execute(unit.nexus, 0, b"", (), 1, 1)
    assert code_of(outcome) == INVALID_OPERATION_CODE


def test_a_cdb_without_padding_and_one_with_too_much_of_it_are_fine():
    unit = UnitUnderTest()
    for padding in (10, 16, 32, 260):
        cdb = bytes.fromhex("28000000000000000100").ljust(padding, b"\0")
        _, outcome = unit.server.execute(unit.nexus, 0, cdb, (), 1, 1)
        assert outcome.status == 0


@pytest.mark.parametrize(
    ("cdb", "is_taken"),
    [
        ("28 00 00 00 00 00 00 80 00 00", True),
        ("28 00 00 00 00 00 00 80 01 00", False),
        ("88 00 00 00 00 00 00 00 00 00 00 00 80 01 00 00", False),
        ("a8 00 00 00 00 00 00 00 80 01 00 00", False),
        ("2e 00 00 00 00 00 00 80 01 00", False),
        ("8b 00 00 00 00 00 00 00 00 00 00 00 80 01 00 00", False),
        ("8e 00 00 00 00 00 00 00 00 00 00 00 80 01 00 00", False),
        ("90 02 00 00 00 00 00 00 00 00 00 00 80 01 00 00", False),
        ("ae 00 00 00 00 00 00 00 80 01 00 00", False),
    ],
)
def test_a_transfer_is_as_long_as_the_block_limits_say_and_no_longer(cdb, is_taken):
    unit = UnitUnderTest(size_store_blocks=8192)
    unit.volume._content = lambda block, count: [bytes(4096)] * count
    reply = unit.command(cdb)
    assert (reply.status == 0) == is_taken
    if not is_taken:
        assert code_of(reply) == INVALID_FIELD
