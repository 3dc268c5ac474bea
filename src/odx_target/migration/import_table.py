"""The imports of an array: those that run, and those that the pool remembers."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeAlias

from odx_target.environment import Environment
from odx_target.migration.importer import Committed, Importer, Report
from odx_target.migration.limits import MAX_FINISHED, MAX_IMPORTS
from odx_target.migration.record import PREFIX, ImportRecord, InvalidRecord, Phase, decode, encode
from odx_target.migration.source import NoSource, Source, SourceError, SourceLun, SourceRefused
from odx_target.store.api import BLOCK_BYTES, Pool, PoolBusy, StoreError, Volume

NOT_UNDONE = "an import that could not begin has left a volume, which the next start deletes"


class ImportRefused(StoreError):
    """An import cannot be begun, changed or cancelled. The message is one line."""


MakeSource: TypeAlias = Callable[[ImportRecord, SourceLun | None], Source]
"""Function that makes the source of an import, and begins to connect. The second argument is the LUN that must answer, or None
if the record does not have its properties yet.
"""

MakeVolume: TypeAlias = Callable[[Volume, SourceLun], Volume]
"""Function that makes the volume for hosts, a clone of the base. It may raise PoolBusy, and is then called again."""


def forget_finished(pool: Pool, volume: Volume) -> None:
    """Forget the finished import of a volume that was deleted.

    An import that is not finished stays, because snapshots and copies of the volume may need its base.
    """
    key = f"{PREFIX}{volume.identity.hex()}"
    value = pool.remembered(key)
    with suppress(InvalidRecord):
        if value is not None and decode(value).phase is Phase.FINISHED:
            pool.forget(key)


class ImportTable:
    """All imports of one array."""

    def __init__(
        self, pool: Pool, environment: Environment, make_source: MakeSource, report: Report, committed: Committed
    ) -> None:
        self.running: dict[str, Importer] = {}
        """The imports that are not finished, by the identity of the volume in hexadecimal."""
        self._pool = pool
        self._environment = environment
        self._make_source = make_source
        self._report = report
        self._committed = committed
        self._beginning = 0

    def start(self) -> None:
        """Continue the imports that the pool remembers. Delete bases of imports that had not begun when the array ended."""
        bases = {volume.identity.hex(): volume for volume in self._pool.bases.volumes()}
        are_all_known = True
        for key in self._pool.remembered_keys(PREFIX):
            try:
                record = decode(self._pool.remembered(key) or b"")
            except InvalidRecord as error:
                self._report("error", str(error), key=key)
                are_all_known = False
                continue
            base = bases.pop(record.base, None)
            if record.phase is not Phase.FINISHED and base is not None:
                try:
                    self._run(record, base)
                except SourceRefused as error:
                    self._report("error", "an import cannot be continued", key=key, error=str(error))
            elif record.phase is not Phase.FINISHED:
                # The array ended between the end of the settling and the change of the record.
                ended = replace(record.without_secrets(), phase=Phase.FINISHED, finished=self._environment.time())
                with suppress(StoreError):
                    self._pool.remember(key, encode(ended))
        # Without a record, nobody knows which base it needs.
        for base in bases.values() if are_all_known else ():
            with suppress(StoreError):
                self._pool.bases.delete(base)

    def records(self) -> list[ImportRecord]:
        """Return the records of all imports, in the order in which they were begun."""
        found = []
        for key in self._pool.remembered_keys(PREFIX):
            with suppress(InvalidRecord):
                found.append(decode(self._pool.remembered(key) or b""))
        return sorted(found, key=lambda record: record.started)

    def importer_of(self, volume: Volume) -> Importer | None:
        """Return the running import of a volume. Returns None if it is finished or was never imported."""
        return self.running.get(volume.identity.hex())

    async def begin(self, record: ImportRecord, name: str, attributes: Mapping[str, str], make_volume: MakeVolume) -> Volume:
        """Connect with the source, make the base `name` and the volume for hosts, and start the import.

        `record` has what the operator has chosen; its other fields are filled in. `attributes` are those of the base. Raises
        ImportRefused if the source cannot be reached or imported. Raises StoreError if the volumes cannot be made. Then nothing
        has changed.
        """
        if len(self.running) + self._beginning >= MAX_IMPORTS:
            raise ImportRefused(f"{MAX_IMPORTS} imports are running already, which is the limit")
        self._beginning += 1
        source = self._make_source(record, None)
        try:
            lun = await source.probe()
            base = await self._pool.bases.create(name, -(-lun.size_bytes // BLOCK_BYTES), attributes)
            made: list[Volume] = []
            try:
                full = await self._make(record, lun, base, make_volume, made)
            except BaseException:
                self._undo(made, base)
                raise
        except BaseException as error:
            source.close()
            if isinstance(error, SourceError):
                raise ImportRefused(str(error)) from error
            raise
        finally:
            self._beginning -= 1
        self._start_importer(full, base, source)
        self._forget_old()
        return made[0]

    async def _make(
        self, record: ImportRecord, lun: SourceLun, base: Volume, make_volume: MakeVolume, made: list[Volume]
    ) -> ImportRecord:
        """Make the volume for hosts and the record of the import. After a crash, the log has both or neither.

        The volume is added to `made`, also if the record cannot be stored.
        """
        pool = self._pool
        while True:
            try:
                volume = make_volume(base, lun)
                made.append(volume)
                full = replace(
                    record,
                    volume=volume.identity.hex(),
                    base=base.identity.hex(),
                    block_bytes=lun.block_bytes,
                    capacity_blocks=lun.capacity_blocks,
                    identity=lun.identity,
                    started=self._environment.time(),
                )
                pool.remember(full.key, encode(full), spare=True)
            except PoolBusy:
                await self._delete_made(made, base)
                await base.room_made()
            else:
                return full

    async def _delete_made(self, made: list[Volume], base: Volume) -> None:
        """Delete volumes of which the pool has no record. May raise the exceptions of `Volume.write` except PoolBusy."""
        while made:
            try:
                self._delete(made[-1])
            except PoolBusy:
                await base.room_made()
            else:
                made.pop()

    def _delete(self, volume: Volume) -> None:
        """Delete a volume, unless an operator has deleted it meanwhile, and perhaps made another one of its name."""
        if self._pool.volumes.get(volume.name) is volume:
            self._pool.delete_volume(volume.name)

    def _undo(self, made: list[Volume], base: Volume) -> None:
        """Delete the volume and the base of an import that cannot begin. If the pool is busy, this is done in the background.

        The base is deleted last, because the volume refers to it.
        """
        try:
            while made:
                self._delete(made[-1])
                made.pop()
            self._pool.bases.delete(base)
        except PoolBusy:
            self._environment.start_soon(self._undo_later, made, base)
        except StoreError as error:
            self._report("error", NOT_UNDONE, volume=base.name, error=str(error))

    async def _undo_later(self, made: list[Volume], base: Volume) -> None:
        try:
            await base.room_made()
        except StoreError as error:
            self._report("error", NOT_UNDONE, volume=base.name, error=str(error))
        else:
            self._undo(made, base)

    def drop(self, importer: Importer, volume: Volume | None) -> None:
        """Delete the volume and the base of an import that was stopped, and forget the import. May raise PoolBusy, and is then
        called again.
        """
        pool = self._pool
        if volume is not None and pool.volumes.get(volume.name) is volume:
            pool.delete_volume(volume.name)
        if pool.bases.is_base(importer.base):
            pool.bases.delete(importer.base)
        pool.forget(importer.record.key)
        self.running.pop(importer.record.volume, None)

    def forget(self, record: ImportRecord) -> None:
        """Forget an import that is finished."""
        self._pool.forget(record.key)

    def resume(self, importer: Importer) -> None:
        """Continue an import that was stopped."""
        self._run(importer.record, importer.base)

    def _run(self, record: ImportRecord, base: Volume) -> None:
        lun = SourceLun(record.block_bytes, record.capacity_blocks, record.identity)
        is_needed = record.phase is Phase.COPYING
        self._start_importer(record, base, self._make_source(record, lun) if is_needed else NoSource())

    def _start_importer(self, record: ImportRecord, base: Volume, source: Source) -> None:
        importer = Importer(record, base, source, self._pool, self._environment, self._report, self._committed)
        importer.on_finish = lambda: self.running.pop(record.volume, None)
        self.running[record.volume] = importer
        importer.start()

    def _forget_old(self) -> None:
        finished = [record for record in self.records() if record.phase is Phase.FINISHED]
        for record in finished[: max(0, len(finished) - MAX_FINISHED)]:
            self._pool.forget(record.key)
