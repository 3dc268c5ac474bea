"""SANITIZE commands, and units in the states that a sanitize operation leaves."""

from odx_target.store.api import PoolFailed
from tests.scsi.array import UnitUnderTest, code_of

BLOCK_ERASE, CRYPTOGRAPHIC_ERASE, EXIT_FAILURE_MODE = 0x02, 0x03, 0x1F
IMMED, AUSE = 0x80, 0x20
READ, WRITE = "28 00 00 00 00 08 00 00 08 00", "2a 00 00 00 00 08 00 00 08 00"
TEST_UNIT_READY, REQUEST_SENSE = "00 00 00 00 00 00", "03 00 00 00 12 00"
SANITIZE_IN_PROGRESS, SANITIZE_COMMAND_FAILED = (2, 0x04, 0x1B), (3, 0x31, 0x03)
INVALID_FIELD_IN_CDB, WRITE_FAULT = (5, 0x24, 0), (4, 0x03, 0)
HEAD_OF_QUEUE = 3
DATA = b"\xaa" * 4096


def cdb(service_action: int, flags: int = 0, length: int = 0) -> bytes:
    return bytes((0x48, flags | service_action, 0, 0, 0, 0, 0)) + length.to_bytes(2, "big") + b"\0"


def overwrite_list(pattern: bytes, byte_0: int = 1) -> bytes:
    return bytes((byte_0, 0)) + len(pattern).to_bytes(2, "big") + pattern


def overwrite(pattern: bytes, flags: int = 0) -> tuple[bytes, bytes]:
    return cdb(0x01, flags, 4 + len(pattern)), overwrite_list(pattern)


SANITIZES = {
    "overwrite": overwrite(b"\x5a\xa5"),
    "overwrite with zeros": overwrite(bytes(512)),
    "block erase": (cdb(BLOCK_ERASE), b""),
    "cryptographic erase": (cdb(CRYPTOGRAPHIC_ERASE), b""),
}


def in_background(command: bytes) -> bytes:
    return command[:1] + bytes((command[1] | IMMED,)) + command[2:]


def written(**options: object) -> UnitUnderTest:
    unit = UnitUnderTest(**options)  # type: ignore[arg-type]
    assert unit.command(WRITE, DATA).status == 0
    unit.pool.flushes = 0
    return unit


def sanitizing() -> UnitUnderTest:
    """Return a unit with a sanitize operation in the background that has not begun to work."""
    unit = written()
    assert not unit.start(cdb(BLOCK_ERASE, IMMED)).is_done
    return unit


def failed(flags: int = 0) -> UnitUnderTest:
    """Return a unit whose sanitize operation has failed, in a pool that works again."""
    unit = written()
    unit.pool.flush_failure = PoolFailed("the disk is gone")
    assert code_of(unit.command(cdb(BLOCK_ERASE, flags))) == SANITIZE_COMMAND_FAILED
    unit.pool.flush_failure = None
    return unit


def content(unit: UnitUnderTest) -> bytes:
    blocks = unit.volume.blocks
    return b"".join(blocks.get(block, bytes(4096)) for block in range(unit.volume.size_blocks))
