"""Sends the exact bytes with which Windows copies a 1 GiB file and zeroes a range, over libiscsi.

The units are as large as in the original (100 GiB, thin). Only some places of each 256 MiB contain data, so that the test is
short although every command is as Windows sends it.
"""

from dataclasses import dataclass

import pytest

from tests.interop import token_bytes as raw
from tests.interop.blocks import pattern, read_blocks, write_blocks
from tests.interop.conftest import Login, Start
from tests.interop.libiscsi import Initiator, Residual

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-windows")]

CHUNK_BYTES = 262_144
ROUNDS = 4


@dataclass(frozen=True)
class Script:
    """The bytes of the script for one block size."""

    block_bytes: int
    capacity: str  # READ CAPACITY(10)
    round_blocks: int  # 256 MiB
    source_lba: int
    destination_lba: int
    first_write: str
    last_write: str
    populate: str
    tail: str  # end of the parameter list of WRITE USING TOKEN in round 0

    @property
    def chunk_blocks(self) -> int:
        return CHUNK_BYTES // self.block_bytes

    def places(self, start: int) -> list[int]:
        """List the places of the pattern: both ends of every round and a few places inside."""
        inside = (0, 1, self.round_blocks // 3, self.round_blocks - self.chunk_blocks)
        return [start + number * self.round_blocks + offset for number in range(ROUNDS) for offset in inside]


SCRIPTS = {
    512: Script(
        block_bytes=512,
        capacity="0c 7f ff ff 00 00 02 00",
        round_blocks=0x80000,
        source_lba=0x100000,
        destination_lba=0x900000,
        first_write="2a 00 00 10 00 00 00 02 00 00",
        last_write="2a 00 00 2f fe 00 00 02 00 00",
        populate="001e0000000000000000000000000010 00000000 00100000 00080000 00000000",
        tail="0000000000000010 00000000 00900000 00080000 00000000",
    ),
    4096: Script(
        block_bytes=4096,
        capacity="01 8f ff ff 00 00 10 00",
        round_blocks=0x10000,
        source_lba=0x20000,
        destination_lba=0x120000,
        first_write="2a 00 00 02 00 00 00 00 40 00",
        last_write="2a 00 00 05 ff c0 00 00 40 00",
        populate="001e0000000000000000000000000010 00000000 00020000 00010000 00000000",
        tail="0000000000000010 00000000 00120000 00010000 00000000",
    ),
}

WRITE_USING_HEAD = "02260000000000000000000000000000"

ENUMERATION = (
    # (CDB, allocation length); every command must end with GOOD
    ("12 00 00 00 24 00", 0x24),
    ("12 01 00 00 ff 00", 0xFF),
    ("12 01 80 00 ff 00", 0xFF),
    ("12 01 83 00 ff 00", 0xFF),
    ("00 00 00 00 00 00", 0),
    ("25 00 00 00 00 00 00 00 00 00", 8),
    ("9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 0x20),
    ("12 01 b2 00 ff 00", 0xFF),
    ("12 01 b0 00 ff 00", 0xFF),
    ("12 01 8f 00 ff 00", 0xFF),
    ("1a 00 0a 00 c0 00", 0xC0),
    ("1a 00 08 00 c0 00", 0xC0),
    ("1a 00 3f 00 c0 00", 0xC0),
)


@pytest.fixture(params=SCRIPTS, ids=lambda block_bytes: f"{block_bytes}-byte blocks")
def script(request: pytest.FixtureRequest) -> Script:
    return SCRIPTS[request.param]


@pytest.fixture
def session(script: Script, start: Start, login: Login) -> Initiator:
    block = f",block={script.block_bytes}"
    served = start((f"source=100G{block}", f"destination=100G{block}"))
    return login(served, 0, 1, name="iqn.1991-05.com.microsoft:host", initial_r2t=True)


def test_enumeration_answers_as_windows_expects(session: Initiator, script: Script) -> None:
    luns = session.execute(0, bytes.fromhex("a0 00 00 00 00 00 00 00 10 00 00 00"), data_in_bytes=0x1000)
    assert luns.data_in.hex() == "0000001000000000" + "0000000000000000" + "0001000000000000"
    for lun in (0, 1):
        answers = {}
        for cdb, allocation_bytes in ENUMERATION:
            result = session.execute(lun, bytes.fromhex(cdb), data_in_bytes=allocation_bytes)
            assert result.outcome == "good", cdb
            answers[cdb[:8]] = result.data_in
        assert answers["25 00 00"].hex(" ") == script.capacity
        pages = answers["12 01 00"][4:]
        assert pages[0] == 0
        assert list(pages) == sorted(set(pages))
        assert {0x83, 0x8F, 0xB0, 0xB2} <= set(pages)
        assert answers["12 00 00"][7] & 0x02, "CmdQue"
        third_party = answers["12 01 8f"]
        assert int.from_bytes(third_party[2:4], "big") >= 36
        assert third_party[4:8].hex() == "00000020"
        control = answers["1a 00 0a"]
        assert control[4 + 3] & 0x06 == 0, "QERR"


def test_a_file_is_copied_as_windows_copies_it(session: Initiator, script: Script) -> None:
    size, chunk = script.block_bytes, script.chunk_blocks
    for cdb, lba in (
        (script.first_write, script.source_lba),
        (script.last_write, script.source_lba + ROUNDS * script.round_blocks - chunk),
    ):
        assert session.execute(0, bytes.fromhex(cdb), data_out=pattern(1, lba, chunk, size)).outcome == "good"
    for lba in script.places(script.source_lba):
        write_blocks(session, 0, lba, pattern(1, lba, chunk, size), size)
    neighbours = (script.destination_lba - chunk, script.destination_lba + ROUNDS * script.round_blocks)
    for lba in (*neighbours, *script.places(script.destination_lba)):
        write_blocks(session, 1, lba, pattern(2, lba, chunk, size), size)
    _copy(session, script)
    for lba in neighbours:
        assert read_blocks(session, 1, lba, chunk, size) == pattern(2, lba, chunk, size)
    shift = script.destination_lba - script.source_lba
    for lba in script.places(script.source_lba):
        assert read_blocks(session, 1, lba + shift, chunk, size) == pattern(1, lba, chunk, size)
        assert read_blocks(session, 0, lba, chunk, size) == pattern(1, lba, chunk, size)
    hole = script.source_lba + script.round_blocks // 2
    assert read_blocks(session, 1, hole + shift, chunk, size) == bytes(CHUNK_BYTES)


def _copy(session: Initiator, script: Script) -> None:
    tokens = set()
    for number in range(ROUNDS):
        shift = number * script.round_blocks
        list_identifier = 2 * number
        parameters = bytearray.fromhex(script.populate)
        parameters[16:24] = (script.source_lba + shift).to_bytes(8, "big")
        populate = f"83 10 00 00 00 00 {list_identifier:08x} 00 00 00 20 00 00"
        assert session.execute(0, bytes.fromhex(populate), data_out=bytes(parameters)).outcome == "good"
        receive = f"84 07 {list_identifier:08x} 00 00 00 00 00 00 03 25 00 00"
        answer = session.execute(0, bytes.fromhex(receive), data_in_bytes=0x325)
        assert (answer.residual_kind, answer.residual_bytes) == (Residual.UNDERFLOW, 255)
        assert len(answer.data_in) == 550
        assert answer.data_in[16:24] == script.round_blocks.to_bytes(8, "big")
        assert answer.data_in[32:38].hex() == "000002020000"
        token = answer.data_in[38:]
        tokens.add(token)
        write = f"83 11 00 00 00 00 {list_identifier + 1:08x} 00 00 02 28 00 00"
        tail = bytearray.fromhex(script.tail)
        tail[8:16] = (script.destination_lba + shift).to_bytes(8, "big")
        data = bytes.fromhex(WRITE_USING_HEAD) + token + bytes(tail)
        assert session.execute(1, bytes.fromhex(write), data_out=data).outcome == "good"
    assert len(tokens) == ROUNDS
    assert session.execute(1, bytes.fromhex("35 00 00 00 00 00 00 00 00 00")).outcome == "good"


def test_fragmented_ranges_are_copied_in_list_order(session: Initiator, script: Script) -> None:
    unit = (16 << 20) // script.block_bytes
    chunk, size = script.chunk_blocks, script.block_bytes
    sources = [(script.source_lba, unit), (4 * script.source_lba, 4 * unit), (6 * script.source_lba, 11 * unit)]
    destinations = [(script.destination_lba, 8 * unit), (script.destination_lba + 16 * unit, 8 * unit)]
    for lba, count in sources:
        for place in (lba, lba + count - chunk):
            write_blocks(session, 0, place, pattern(3, place, chunk, size), size)
    token = raw.make_token(session, 0, 0, sources)
    assert raw.write_using(session, 1, 1, token, destinations).outcome == "good"
    positions = {
        0: sources[0][0],
        unit: sources[1][0],
        5 * unit: sources[2][0],
        16 * unit - chunk: sources[2][0] + 11 * unit - chunk,
    }
    for position, lba in positions.items():
        place = script.destination_lba + position + (8 * unit if position >= 8 * unit else 0)
        assert read_blocks(session, 1, place, chunk, size) == pattern(3, lba, chunk, size)


def test_64_fragments_and_not_one_more(session: Initiator, script: Script) -> None:
    sources = [(number * 1000, 8) for number in range(65)]
    for lba, count in sources:
        write_blocks(session, 0, lba, pattern(4, lba, count, script.block_bytes), script.block_bytes)
    assert raw.populate(session, 0, 0, sources).outcome == "5/26/08"
    token = raw.make_token(session, 0, 1, sources[:64])
    destinations = [(number * 500 + 3, 8) for number in reversed(range(64))]
    assert raw.write_using(session, 1, 2, token, destinations).outcome == "good"
    for (lba, count), (place, _) in zip(sources, destinations, strict=False):
        assert read_blocks(session, 1, place, count, script.block_bytes) == pattern(4, lba, count, script.block_bytes)


@pytest.mark.parametrize("running_offset", [False, True])
def test_ten_gibibytes_are_zeroed_by_the_zero_token(session: Initiator, script: Script, running_offset: bool) -> None:
    start, size, chunk = script.destination_lba, script.block_bytes, script.chunk_blocks
    end = start + 40 * script.round_blocks
    markers = [start, start + 3 * script.round_blocks - 1, end - chunk]
    neighbours = [start - chunk, end]
    for lba in (*markers, *neighbours):
        write_blocks(session, 1, lba, pattern(5, lba, chunk, size), size)
    for number in range(40):
        head = bytearray.fromhex(WRITE_USING_HEAD)
        head[8:16] = (number * script.round_blocks if running_offset else 0).to_bytes(8, "big")
        tail = bytearray.fromhex(script.tail)
        tail[8:16] = (start + number * script.round_blocks).to_bytes(8, "big")
        cdb = bytes.fromhex(f"83 11 00 00 00 00 {number:08x} 00 00 02 28 00 00")
        assert session.execute(1, cdb, data_out=bytes(head) + raw.ZERO_TOKEN + bytes(tail)).outcome == "good"
    for lba in markers:
        assert read_blocks(session, 1, lba, chunk, size) == bytes(CHUNK_BYTES)
    for lba in neighbours:
        assert read_blocks(session, 1, lba, chunk, size) == pattern(5, lba, chunk, size)
