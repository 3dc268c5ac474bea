"""Tests of the table from errno to kind, and of the exception for each errno."""

import errno
import os

import pytest
from tests.store.pools import Machine, block, blocks, read

from odx_target.store.api import DamagedBlock, OutOfResources, PoolFull, Refused, StoreError, Unreadable, Unwritable
from odx_target.store.error_kinds import kind_of, of_read, of_write, passes

TABLE = [
    # (errno, passes, exception of a read, exception of a write that was not promised)
    (errno.EMFILE, True, OutOfResources, OutOfResources),
    (errno.ENFILE, True, OutOfResources, OutOfResources),
    (errno.ENOMEM, True, OutOfResources, OutOfResources),
    (errno.ENOBUFS, True, OutOfResources, OutOfResources),
    (errno.EAGAIN, True, OutOfResources, OutOfResources),
    (errno.EINTR, True, OutOfResources, OutOfResources),
    (errno.ENOSPC, True, OutOfResources, PoolFull),
    (errno.EDQUOT, True, OutOfResources, PoolFull),
    (errno.EFBIG, True, OutOfResources, PoolFull),
    (errno.EACCES, False, Unreadable, Refused),
    (errno.EPERM, False, Unreadable, Refused),
    (errno.EROFS, False, Unreadable, Refused),
    (errno.ENOENT, False, DamagedBlock, Unwritable),
    (errno.ENODATA, False, DamagedBlock, Unwritable),
    (errno.EBADMSG, False, DamagedBlock, Unwritable),
    (errno.EUCLEAN, False, DamagedBlock, Unwritable),
    (errno.EIO, False, Unreadable, Unwritable),
    (errno.ESTALE, False, Unreadable, Unwritable),
    (errno.ETIMEDOUT, False, Unreadable, Unwritable),
]


@pytest.mark.parametrize(("number", "will_pass", "of_reads", "of_writes"), TABLE)
def test_each_errno_has_one_kind(number: int, will_pass: bool, of_reads: type[StoreError], of_writes: type[StoreError]) -> None:
    error = OSError(number, os.strerror(number))
    assert passes(error) is will_pass
    assert type(of_read(7, error)) is of_reads
    written = of_write("making a segment", error)
    assert type(written) is of_writes
    assert str(written) == f"making a segment failed: {os.strerror(number)}"


def test_an_error_without_a_number_is_a_failure() -> None:
    assert kind_of(OSError("no number")) is kind_of(OSError(errno.EIO, ""))
    assert str(of_write("saving", OSError("no number"))) == "saving failed: no number"


@pytest.mark.parametrize(("number", "will_pass", "of_reads", "of_writes"), TABLE)
def test_a_read_that_fails_leaves_good_data_good(
    number: int, will_pass: bool, of_reads: type[StoreError], of_writes: type[StoreError]
) -> None:
    machine = Machine()
    machine.pool.create_volume("a", 10, {}).write(0, [blocks(1, 2, 3)])
    machine.pool.commit()
    machine.reopen()
    volume = machine.pool.volumes["a"]
    machine.disk.failing.add("read")
    machine.disk.error_number = number
    with pytest.raises(of_reads) as caught:
        machine.environment.run(volume.read(1, 2))
    if isinstance(caught.value, DamagedBlock | Unreadable):
        assert caught.value.block == 1
    machine.disk.failing.clear()
    assert read(machine, volume, 0, 3) == blocks(1, 2, 3)
    volume.write(0, [block(9)])
    machine.pool.commit()
    machine.flush()
    assert read(machine, volume, 0, 3) == blocks(9, 2, 3)
