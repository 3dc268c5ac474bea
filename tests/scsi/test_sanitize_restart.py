"""Sanitize operations that go on after a restart."""

from collections.abc import Callable

import pytest

from odx_target.scsi.unit.sanitize_operation import KEY_PREFIX, SanitizeOperation, keep, recall
from odx_target.store.api import PoolDamaged
from tests.scsi.array import UnitUnderTest, code_of, data_of
from tests.scsi.reserving import ClusterOnDisk
from tests.scsi.sanitizing import (
    BLOCK_ERASE,
    DATA,
    EXIT_FAILURE_MODE,
    INVALID_FIELD_IN_CDB,
    READ,
    SANITIZE_COMMAND_FAILED,
    SANITIZE_IN_PROGRESS,
    SANITIZES,
    WRITE,
    cdb,
    in_background,
)


def test_a_record_that_cannot_be_read_is_not_ignored() -> None:
    unit = UnitUnderTest()
    identity, make_event = unit.volume.identity, unit.environment.event
    operation = SanitizeOperation(b"pattern", is_restricted=True, make_event=make_event)
    keep(unit.pool, identity, operation)
    (key,) = unit.pool.remembered_keys(KEY_PREFIX)
    value = unit.pool.remembered(key)
    found = recall(unit.pool, identity, make_event)
    assert value is not None
    assert found is not None
    assert (found.pattern, found.is_restricted, found.has_failed) == (b"pattern", True, False)
    for damaged in (
        b"",
        value[:-1],
        b"\x02" + value[1:],
        *(value[:at] + b"\xff" + value[at + 1 :] for at in range(len(value))),
    ):
        unit.pool.remember(key, damaged)
        with pytest.raises(PoolDamaged):
            recall(unit.pool, identity, make_event)


@pytest.mark.parametrize("command", SANITIZES.values(), ids=SANITIZES)
@pytest.mark.parametrize("ends", [ClusterOnDisk.kill, ClusterOnDisk.lose_power])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13])
def test_a_sanitize_goes_on_after_a_restart(
    command: tuple[bytes, bytes], ends: Callable[[ClusterOnDisk], None], steps: int
) -> None:
    cluster = ClusterOnDisk(1)
    assert cluster.command(WRITE, DATA).status == 0
    assert cluster.command("35" + "00" * 9).status == 0
    cdb_bytes, data = command
    assert cluster.command(in_background(cdb_bytes), data).status == 0
    for _ in range(steps):
        cluster.environment.step()
    ends(cluster)
    reply = cluster.start(READ).reply
    if reply.status:
        assert code_of(reply) == SANITIZE_IN_PROGRESS
    cluster.environment.advance(1.0)
    expected = b"\x5a\xa5" * 2048 if b"\x5a\xa5" in data else bytes(4096)
    assert data_of(cluster.command(READ)) == expected
    assert not cluster.logical_unit.pool.remembered_keys(KEY_PREFIX)
    assert not cluster.internal_errors
    cluster.abandon()


def test_a_restart_does_not_sanitize_again_what_was_written_afterwards() -> None:
    cluster = ClusterOnDisk(1)
    assert cluster.command(cdb(BLOCK_ERASE)).status == 0
    assert cluster.command(WRITE, DATA).status == 0
    cluster.logical_unit.pool.commit()
    cluster.kill()
    cluster.environment.advance(1.0)
    assert data_of(cluster.command(READ)) == DATA
    cluster.abandon()


def test_a_failure_is_still_reported_after_a_restart() -> None:
    cluster = ClusterOnDisk(1)
    pool, identity = cluster.logical_unit.pool, cluster.logical_unit.volume.identity
    operation = SanitizeOperation(b"", is_restricted=True, make_event=cluster.environment.event)
    operation.fail()
    keep(pool, identity, operation)
    pool.commit()
    cluster.kill()
    cluster.environment.advance(1.0)
    assert code_of(cluster.command(READ)) == SANITIZE_COMMAND_FAILED
    assert code_of(cluster.command(cdb(EXIT_FAILURE_MODE))) == INVALID_FIELD_IN_CDB
    assert cluster.command(cdb(BLOCK_ERASE)).status == 0
    cluster.abandon()
