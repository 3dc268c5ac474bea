"""A block of the file system that only one host changes at a time, and its change by COMPARE AND WRITE (ATS).

Without COMPARE AND WRITE, the host reserves the whole disk while it reads, compares and writes the block of a lock. A heartbeat
is then an ordinary write.
"""

from dataclasses import dataclass, field

from odx_target.initiator import cdb
from odx_target.initiator.disk import CommandFailed
from odx_target.initiator.errors import CommandTimedOut, InitiatorError
from odx_target.initiator.esxi.disk import CopyStopped, EsxiDisk
from odx_target.initiator.esxi.offload import may_try
from odx_target.initiator.esxi.rules import Rule
from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.sense import SenseKey, describe_result, read_sense

MARK_BYTES = 64
"""Length of the mark that the host writes at the start of a locked block. The other bytes do not change."""
RELEASE_LIMIT_S = 10.0
"""Maximum time for the release of a lock or a reservation after the copy has been cancelled."""


@dataclass(slots=True)
class LockedBlock:
    """One block. `what` describes it in messages and in its mark.

    `take` stores the content of the block, and `give_back` restores it, so that a disk without a file system is unchanged after
    the copy.
    """

    disk: EsxiDisk
    lba: int
    what: str
    _original: bytes = b""
    _marks: list[bytes] = field(default_factory=list)
    """The marks that the block may have now, with the latest one at the end. There are two while a mark is being replaced. The
    list is empty if this host does not hold the block.
    """
    _number: int = 0

    async def take(self) -> None:
        """Write the mark of this host. Raises InitiatorError if the block cannot be locked."""
        settings = self.disk.host.settings
        for _ in range(settings.lock_attempts):
            self._original = bytes(await self.disk.read(self.lba, 1))
            self._marks = [self._marked(self._original)]
            if await self._replace(self._original, self._marks[-1]):
                return
            self._marks = []
            self.disk.find(Rule.LOCK_BUSY, self.what)
            await self.disk.host.runtime.sleep(settings.lock_delay_s)
        raise CopyStopped(self.disk.find(Rule.LOCK_REFUSED, f"{self.what}, {settings.lock_attempts} attempts"))

    async def change(self, *, by_ats: bool = True) -> None:
        """Write the next mark of this host, without a reservation. Raises InitiatorError if another host has changed the
        block.
        """
        old, new = self._marks[-1], self._marked(self._original)
        self._marks = [old, new]
        is_replaced = await self._by_ats(old, new) if by_ats else None
        if is_replaced is None:
            await self.disk.write(self.lba, new)
        elif not is_replaced:
            self._marks = []
            raise CopyStopped(self.disk.find(Rule.LOCK_LOST, self.what))
        self._marks = [new]

    async def give_back(self) -> None:
        """Restore the content that the block had before it was locked. Does nothing if this host does not hold the block."""
        try:
            for mark in reversed(self._marks):
                if await self._replace(mark, self._original):
                    break
            else:
                if self._marks:
                    self.disk.find(Rule.LOCK_NOT_RELEASED, f"{self.what}, another host has changed it")
        except InitiatorError as failure:
            self.disk.find(Rule.LOCK_NOT_RELEASED, f"{self.what}, {failure}")
        self._marks = []

    @property
    def is_held(self) -> bool:
        """True if this host has locked the block and has not given it back."""
        return bool(self._marks)

    def _marked(self, content: bytes) -> bytes:
        self._number += 1
        return f"esxi-copy {self.what} {self._number}".encode().ljust(MARK_BYTES, b"\0") + content[MARK_BYTES:]

    async def _replace(self, expected: bytes, new: bytes) -> bool:
        """Replace the content of the block if it is as expected. Returns False if the block has other content."""
        is_replaced = await self._by_ats(expected, new)
        return await self._replace_reserved(expected, new) if is_replaced is None else is_replaced

    async def _by_ats(self, expected: bytes, new: bytes) -> bool | None:
        """Replace the content of the block by COMPARE AND WRITE if it is as expected. Returns False if the block has other
        content, and None if COMPARE AND WRITE is not possible.
        """
        disk = self.disk
        if not may_try(disk.host, disk, disk.ats):
            return None
        try:
            result = await disk.command(cdb.compare_and_write(self.lba, 1), expected, new)
        except CommandTimedOut as late:
            self._give_up_ats(str(late))
            return None
        sense = read_sense(result.sense) if result.status == Status.CHECK_CONDITION else None
        is_miscompare = sense is not None and sense.key == SenseKey.MISCOMPARE
        if result.status != Status.GOOD and not is_miscompare:
            self._give_up_ats(describe_result(result))
            return None
        disk.ats.note_success()
        if is_miscompare:
            if bytes(await disk.read(self.lba, 1)) != new:
                return False
            disk.find(Rule.OWN_MISCOMPARE, self.what)
        return True

    def _give_up_ats(self, reason: str) -> None:
        self.disk.find(Rule.ATS_FAILED, reason)
        self.disk.ats.note_failure(self.disk.host.runtime.now())

    async def _replace_reserved(self, expected: bytes, new: bytes) -> bool:
        """Replace the content of the block while the whole disk is reserved for this host."""
        is_reserved = await self._reserve()
        try:
            content = bytes(await self.disk.read(self.lba, 1))
            if content == expected:
                await self.disk.write(self.lba, new)
            if is_reserved:
                await self._release()
                is_reserved = False
        finally:
            if is_reserved:
                await self.disk.host.runtime.to_its_end(self._release, RELEASE_LIMIT_S)
        return content in {expected, new}

    async def _reserve(self) -> bool:
        """Reserve the disk. Returns False if the target does not support RESERVE. Raises CopyStopped if another host keeps the
        disk reserved.
        """
        disk, settings = self.disk, self.disk.host.settings
        for _ in range(settings.lock_attempts):
            result: CommandResult = await disk.command(cdb.reserve_6())
            if result.status == Status.GOOD:
                return True
            if result.status != Status.RESERVATION_CONFLICT:
                disk.find(Rule.RESERVE_FAILED, describe_result(result))
                return False
            disk.find(Rule.RESERVE_CONFLICT)
            await disk.host.runtime.sleep(settings.lock_delay_s)
        raise CopyStopped(disk.find(Rule.LOCK_REFUSED, f"{self.what}, the disk is reserved by another host"))

    async def _release(self) -> None:
        result = await self.disk.command(cdb.release_6())
        if result.status != Status.GOOD:
            raise CommandFailed(f"{self.disk.name}: RELEASE", result)
