"""One import: hosts read through to the old array, and all blocks are copied in the background.

Only the base has fetched blocks, so writes, tokens, snapshots and clones need nothing from this module. The record of the
import in the pool says how far it is, and the base says which blocks are missing. So an import continues after any crash.
"""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol, TypeAlias, TypeVar

from odx_target.environment import Buffer, Environment
from odx_target.migration.background_copy import BackgroundCopy
from odx_target.migration.fetching import Fetcher
from odx_target.migration.limits import CHECK_PAUSE_S, PIECE_BLOCKS, POOL_PAUSE_S, STEPS_OF_A_PIECE
from odx_target.migration.pace import Pace
from odx_target.migration.progress import Progress, State
from odx_target.migration.record import ImportRecord, Phase, encode
from odx_target.migration.source import Source, SourceLun
from odx_target.migration.stopping import Stopped, Stopping
from odx_target.migration.verification import Verification
from odx_target.store.api import (
    BLOCK_BYTES,
    Pool,
    PoolBusy,
    Refused,
    Scarcity,
    StoreError,
    Unreadable,
    Unwritable,
    Volume,
)

Committed: TypeAlias = Callable[[], Awaitable[None]]
"""Function that commits the open batch of the pool. If the pool has failed, it also ends the sessions of hosts."""

T = TypeVar("T")


class Report(Protocol):
    """Writes a line to the log of the array."""

    def __call__(self, level: str, event: str, /, **fields: Any) -> None: ...


class Importer:
    """An import that is not finished. `base` is the volume into which the blocks are fetched."""

    def __init__(
        self,
        record: ImportRecord,
        base: Volume,
        source: Source,
        pool: Pool,
        environment: Environment,
        report: Report,
        committed: Committed,
    ) -> None:
        self.record = record
        self.base = base
        self._source = source
        self._pool = pool
        self._environment = environment
        self._report = report
        self._committed = committed
        lun = SourceLun(record.block_bytes, record.capacity_blocks, record.identity)
        self._fetcher = Fetcher(source, lun, environment)
        self._pace = Pace(record.rate)
        self._stopping = Stopping(environment)
        self._copy = BackgroundCopy(base, self._fetcher, self._pace, self._stopping, pool, environment, committed)
        self._verification = Verification(base, self._fetcher, self._pace, self._stopping, environment)
        self._is_accepted = False
        self._failure = ""
        self.on_finish: Callable[[], object] = _nothing
        """Called when the import is finished."""

    def start(self) -> None:
        """Fetch what hosts read, and copy the rest in the background."""
        if self.record.phase is Phase.COPYING:
            self._pool.bases.attach(self.base, self._fetch)
        self._stopping.running += 1
        self._environment.start_soon(self._run)

    async def stop(self) -> None:
        """Stop the copy, and wait until it has ended. Blocks that have not been copied cannot be read any more."""
        self._stopping.stop()
        self._source.close()
        await self._stopping.ended()
        if self._pool.bases.is_base(self.base):
            self._pool.bases.attach(self.base, None)

    async def set_rate(self, rate: int) -> None:
        """Change the rate of the background copy. Raises StoreError."""
        await self._save(lambda record: replace(record, rate=rate))
        self._pace.change(rate)
        self._stopping.wake()

    async def verify(self) -> None:
        """Compare all blocks with the old LUN when they have been copied. Raises StoreError."""
        await self._save(lambda record: replace(record, verify=True))
        self._verification.again()
        self._stopping.wake()

    def accept(self) -> None:
        """Finish the import although blocks differ from the old LUN."""
        self._is_accepted = True
        self._stopping.wake()

    def progress(self) -> Progress:
        now_s = self._environment.monotonic()
        is_verifying = self._verification.is_running
        missing = self._copy.missing_blocks
        left = self._verification.left_blocks if is_verifying else missing
        rate = self._pace.measured(now_s)
        return Progress(
            state=self._state(),
            reason=self._reason(),
            size_blocks=self._fetcher.size_blocks,
            missing_blocks=missing,
            verified_blocks=self._verification.done_blocks,
            rate=rate,
            remaining_s=None if left is None or not rate else left * BLOCK_BYTES / rate,
            unreadable=self._copy.unreadable,
            different=self._verification.different,
        )

    def _state(self) -> State:
        if self._failure:
            return State.FAILED
        if self.record.phase is not Phase.COPYING:
            return State.FINISHING
        if self._verification.is_running:
            return State.VERIFYING
        if self._verification.is_done and self._verification.different.count_blocks:
            return State.DIFFERENT
        return State.WAITING if self._reason() else State.COPYING

    def _reason(self) -> str:
        if self._failure or self._copy.failure:
            return self._failure or self._copy.failure
        return "" if self.record.phase is not Phase.COPYING else self._source.failure or self._copy.refusal

    async def _fetch(self, block: int, count_blocks: int) -> Buffer:
        """Fetch missing blocks for a read. If the pool can take them now, they are kept, so that no other read fetches them."""
        data = await self._fetcher.wait_and_read(block, count_blocks)
        view = memoryview(data)
        with suppress(StoreError):
            for at in range(0, count_blocks, PIECE_BLOCKS):
                self._environment.turns.take(STEPS_OF_A_PIECE)
                await self._environment.turns.next_if_spent()
                if self._pool.bases.is_base(self.base):
                    part = view[at * BLOCK_BYTES : (at + PIECE_BLOCKS) * BLOCK_BYTES]
                    self._copy.note(self._pool.bases.keep(self.base, block + at, part))
                    await self._committed()
        return data

    async def _run(self) -> None:
        try:
            while not await self._is_done():
                pass
        except Stopped:
            pass
        except Exception as error:
            # Nothing of this import may end the array. Reads of missing blocks are still fetched.
            self._failure = f"{type(error).__name__}: {error}"
            self._report("error", "an import has failed", volume=self.base.name, error=self._failure, exc_info=error)
        finally:
            self._stopping.one_has_ended()

    async def _is_done(self) -> bool:
        """Work until the import has finished. Returns False after a failure of the pool that may pass, and a pause."""
        try:
            await self._work()
        except (Scarcity, Unreadable, Unwritable, Refused) as error:
            self._copy.failure = str(error)
            await self._stopping.sleep(POOL_PAUSE_S)
            self._copy.failure = ""
            return False
        return True

    async def _work(self) -> None:
        while self.record.phase is Phase.COPYING:
            await self._copy.run()
            if self._copy.missing_blocks:
                await self._stopping.sleep(CHECK_PAUSE_S)  # The old array could not read some blocks.
            elif self._is_complete() or await self._verified():
                await self._begin_to_finish()
        await self._finish()

    def _is_complete(self) -> bool:
        return self._is_accepted or not self.record.verify

    async def _verified(self) -> bool:
        """Compare all blocks with the old LUN. If some differ, wait for the operator."""
        if not self._verification.is_done:
            await self._verification.run()
        if not self._verification.different.count_blocks:
            return True
        await self._stopping.sleep(CHECK_PAUSE_S)
        return False

    async def _begin_to_finish(self) -> None:
        """Make all data durable, and say so in the record. The old array is not needed any more."""
        await self._until_done(self._pool.flush)
        await self._save(lambda record: replace(record.without_secrets(), phase=Phase.FINISHING))
        await self._until_done(self._pool.flush)
        self._pool.bases.attach(self.base, None)
        self._source.close()
        self._report("info", "an import needs the old array no longer", source=self.record.url)

    async def _finish(self) -> None:
        if self._pool.bases.is_base(self.base):
            while not await self._pool.bases.settle(self.base):
                await self._stopping.sleep(POOL_PAUSE_S)
        await self._save(lambda record: replace(record, phase=Phase.FINISHED, finished=self._environment.time()))
        self.on_finish()

    async def _until_done(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        while True:
            try:
                return await work()
            except Scarcity as error:
                self._copy.failure = str(error)
                await self._stopping.sleep(POOL_PAUSE_S)
                self._copy.failure = ""

    async def _save(self, changed: Callable[[ImportRecord], ImportRecord]) -> None:
        """Change the record, and store it in the pool. Raises StoreError."""
        while True:
            record = changed(self.record)  # Another task may change the record during the wait for room.
            try:
                self._pool.remember(record.key, encode(record), spare=True)
            except PoolBusy:
                await self.base.room_made()
            else:
                break
        self.record = record
        await self._committed()


def _nothing() -> None:
    pass
