"""The ledger that a pool shares with its volumes and frozen maps: the contents, and the log that records each change."""

from collections.abc import Callable, Sequence

from odx_target.environment import Environment
from odx_target.store.api import FrozenMap, Snapshot, Volume
from odx_target.store.contents import Contents
from odx_target.store.health import Health
from odx_target.store.log.reader import Reader
from odx_target.store.log.records import Record, encode
from odx_target.store.log.writer import Log
from odx_target.store.segments.supply import SegmentSupply


class Ledger:
    """The contents of one pool and its log, and the objects that users of the pool have for the parts of the contents.

    `frozen_maps` has the frozen maps that have not been released, without those of snapshots.
    """

    def __init__(
        self, contents: Contents, log: Log, reader: Reader, supply: SegmentSupply, health: Health, environment: Environment
    ) -> None:
        self.contents = contents
        self.log = log
        self.reader = reader
        self.supply = supply
        self.health = health
        self.environment = environment
        self.turns = environment.turns
        self.volumes: dict[str, Volume] = {}
        self.frozen_maps: dict[int, FrozenMap] = {}
        self.snapshots: dict[bytes, Snapshot] = {}
        self.is_closed = False

    def record(self, change: Record, *, spare: bool = False, announce: Callable[[], None] | None = None) -> None:
        """Log a change and carry it out. Raises PoolFull, PoolBusy, PoolFailed; nothing has changed if it raises.

        Set `spare` if the change frees room: it may then use the reserve of a full pool. `announce` is called when there is
        room for the record, before the change.
        """
        encoded = encode(change)
        self.log.require_record(len(encoded), spare=spare)
        if announce is not None:
            announce()
        self.log.append(encoded)
        self.contents.apply(change)

    def record_all(self, changes: Sequence[Record]) -> None:
        """Log changes in one batch and carry them out. After a crash all of them are there, or none. Raises as `record`."""
        encoded = [encode(change) for change in changes]
        self.log.require_record(sum(map(len, encoded)))
        for change, record in zip(changes, encoded, strict=True):
            self.log.append(record)
            self.contents.apply(change)

    def record_or_defer(self, change: Record, *, matters: bool = True) -> None:
        """Carry out a change that must not fail, and log it as soon as there is room. See `Log.append_or_defer`."""
        self.log.append_or_defer(encode(change), matters=matters)
        self.contents.apply(change)
