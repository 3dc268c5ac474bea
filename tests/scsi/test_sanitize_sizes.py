"""Units whose size changes while a sanitize operation is under way."""

import pytest

from odx_target.scsi.limits import FORMAT_RETRY_S
from odx_target.store.api import OutOfResources
from tests.scsi.array import UnitUnderTest
from tests.scsi.sanitizing import (
    DATA,
    SANITIZES,
    content,
    overwrite,
    written,
)


@pytest.mark.parametrize("command", SANITIZES.values(), ids=SANITIZES)
def test_a_unit_that_shrinks_meanwhile_is_sanitized_to_its_new_end(command: tuple[bytes, bytes]) -> None:
    unit = written(size_store_blocks=2048)

    async def room_made() -> None:
        unit.logical_unit.capacity_blocks = 1537 * 8 - 1
        unit.volume.resize(1537)

    unit.volume.room_made = room_made  # type: ignore[method-assign]
    unit.volume.times_busy = 1
    assert unit.command(*command).status == 0
    assert unit.logical_unit.capacity_blocks == 1537 * 8 - 1
    assert DATA not in content(unit)
    assert content(unit)[-512:] == bytes(512), "the part of the last store block that no host can read"
    assert not unit.internal_errors


@pytest.mark.parametrize("command", [SANITIZES["block erase"], SANITIZES["overwrite"]], ids=["erase", "overwrite"])
def test_a_unit_that_is_not_made_smaller_after_all_is_sanitized_to_its_old_end(command: tuple[bytes, bytes]) -> None:
    unit = UnitUnderTest(4096, 64)
    assert unit.command("2a 00 00 00 00 3f 00 00 01 00", DATA).status == 0
    unit.logical_unit.capacity_blocks = 8  # the first step of a change of the size, which may still fail
    assert unit.command(*command).status == 0
    unit.logical_unit.capacity_blocks = 64
    assert content(unit) == (b"\x5a\xa5" if b"\x5a\xa5" in command[1] else b"\0\0") * (64 * 2048)


def test_a_unit_that_grows_meanwhile_is_filled_to_its_new_end() -> None:
    unit = written(size_store_blocks=2048)
    started = unit.start(*overwrite(b"\x77"))
    unit.volume.resize(3000)
    unit.logical_unit.capacity_blocks = 3000 * 8
    unit.environment.advance(1.0)
    assert started.reply.status == 0
    assert content(unit) == b"\x77" * (3000 * 4096)


def test_a_unit_of_a_part_of_a_store_block_that_grows_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = UnitUnderTest(512, 1)
    unit.logical_unit.capacity_blocks = 3
    flush, flushes = unit.pool.flush, iter((None, OutOfResources("no file descriptors")))

    async def failing_flush() -> None:
        if (failure := next(flushes, None)) is not None:
            raise failure
        await flush()

    monkeypatch.setattr(unit.pool, "flush", failing_flush)
    started = unit.start(*overwrite(b"\x77"))
    unit.environment.advance(FORMAT_RETRY_S / 2)
    assert unit.logical_unit.sanitize_operation is not None
    assert unit.logical_unit.sanitize_operation.filled_blocks == 3
    unit.volume.resize(3)
    unit.logical_unit.capacity_blocks = 24
    unit.environment.advance(FORMAT_RETRY_S)
    assert started.reply.status == 0
    assert content(unit) == b"\x77" * (3 * 4096)
