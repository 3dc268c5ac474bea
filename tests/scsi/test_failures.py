"""The reply to an initiator for each kind of failure."""

import pytest

from odx_target.scsi.failures import reply_for
from odx_target.scsi.reply import Status
from odx_target.scsi.tasks.task import Task
from odx_target.store.api import (
    DamagedBlock,
    OutOfResources,
    PoolFailed,
    PoolFull,
    Refused,
    SourceAway,
    StoreError,
    Unreadable,
    Unwritable,
)
from tests.scsi.array import UnitUnderTest

GOOD_TO_KNOW = [
    # (exception, status, sense key, ASC, ASCQ, INFORMATION)
    (OutOfResources("no descriptors"), Status.BUSY, None, None, None, None),
    (MemoryError(), Status.BUSY, None, None, None, None),
    (PoolFull("full"), Status.CHECK_CONDITION, 0x7, 0x27, 0x07, None),
    (Refused("read-only"), Status.CHECK_CONDITION, 0x7, 0x27, 0x00, None),
    (Unwritable("input/output error"), Status.CHECK_CONDITION, 0xB, 0x0C, 0x00, None),
    (PoolFailed("lost"), Status.CHECK_CONDITION, 0x4, 0x03, 0x00, None),
    (DamagedBlock(3), Status.CHECK_CONDITION, 0x3, 0x11, 0x00, 24),
    (Unreadable(3, "input/output error"), Status.CHECK_CONDITION, 0xB, 0x11, 0x00, 24),
    (SourceAway("the old array does not answer"), Status.CHECK_CONDITION, 0x2, 0x04, 0x01, None),
    (StoreError("anything else"), Status.CHECK_CONDITION, 0x4, 0x44, 0x00, None),
    (ValueError("a mistake of ours"), Status.CHECK_CONDITION, 0x4, 0x44, 0x00, None),
]


@pytest.mark.parametrize(("error", "status", "key", "asc", "ascq", "information"), GOOD_TO_KNOW)
def test_each_kind_has_its_answer(
    error: Exception, status: Status, key: int | None, asc: int | None, ascq: int | None, information: int | None
) -> None:
    array = UnitUnderTest()
    reply = reply_for(error, Task(array.nexus, array.logical_unit, bytes(16)), None)
    assert reply.status == status
    if key is None:
        assert reply.sense == b""
        return
    assert (reply.sense[2], reply.sense[12], reply.sense[13]) == (key, asc, ascq)
    valid, found = reply.sense[0] & 0x80, int.from_bytes(reply.sense[3:7], "big")
    assert (found if valid else None) == information
