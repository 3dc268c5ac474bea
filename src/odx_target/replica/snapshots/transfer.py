"""A running transfer of a snapshot, and the results of the last one, on either side."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from odx_target.replica.link.throttle import Rates
from odx_target.replica.snapshots.estimate import Estimate, Samples
from odx_target.store.api import BLOCK_BYTES

if TYPE_CHECKING:
    from odx_target.replica.blocks.receiver import BlockReceiver, ReceiveTotals
    from odx_target.replica.blocks.sender import BlockSender, SendTotals


class _Counts(NamedTuple):
    """Numbers of an exchange of blocks, with the names of its totals."""

    done_blocks: int = 0
    data_bytes: int = 0
    parts: int = 0


@dataclass
class Transfer:
    """A snapshot that is sent or received now. It is snapshot number `step` of `steps` of a group."""

    name: str
    snapshot_s: float
    changed_blocks: int
    started_s: float
    """Monotonic time."""
    step: int = 1
    steps: int = 1
    _former: _Counts = _Counts()
    """The counts of earlier attempts."""
    _totals: "SendTotals | ReceiveTotals | None" = None
    """The totals of the present attempt."""

    @property
    def done_blocks(self) -> int:
        """Number of the changed blocks that have been transferred."""
        return min(self.changed_blocks, self._counts.done_blocks)

    @property
    def logical_bytes(self) -> int:
        return self.done_blocks * BLOCK_BYTES

    @property
    def bytes_remaining(self) -> int:
        return (self.changed_blocks - self.done_blocks) * BLOCK_BYTES

    @property
    def network_bytes(self) -> int:
        """Bytes of blocks on the link, after compression."""
        return self._counts.data_bytes

    def progress(self) -> int:
        """Return a number that grows while parts are transferred, also parts without changed blocks."""
        return self._counts.data_bytes + self._counts.parts

    @property
    def _counts(self) -> _Counts:
        """The counts of all attempts."""
        former, now = self._former, self._totals
        if now is None:
            return former
        return _Counts(former.done_blocks + now.done_blocks, former.data_bytes + now.data_bytes, former.parts + now.parts)

    def follow(self, exchange: "BlockSender | BlockReceiver") -> None:
        """Count the blocks of a further attempt, which an exchange of blocks sends or receives."""
        self._former, self._totals = self._counts, exchange.totals


@dataclass
class Results:
    """The results of the transfers of a protection or copy since the start of the array."""

    snapshots: int = 0
    logical_bytes: int = 0
    network_bytes: int = 0
    last_snapshot_bytes: int = 0
    last_snapshot_sync_seconds: float = 0.0
    remote_snapshot_timestamp: float | None = None
    """Wall clock time of the newest snapshot that both sides have. None if none was transferred since the start."""

    def note(self, transfer: Transfer, now_s: float) -> None:
        """Note a transfer that has ended."""
        self.snapshots += 1
        self.logical_bytes += transfer.logical_bytes
        self.network_bytes += transfer.network_bytes
        self.last_snapshot_bytes = transfer.logical_bytes
        self.last_snapshot_sync_seconds = now_s - transfer.started_s
        self.remote_snapshot_timestamp = transfer.snapshot_s


@dataclass
class Activity:
    """The present transfer of a protection or copy, its results, and its problem. `problem` is empty if there is none."""

    transfer: Transfer | None = None
    results: Results = field(default_factory=Results)
    problem: str = ""
    samples: Samples = field(default_factory=Samples)

    @property
    def total_logical_bytes(self) -> int:
        """Changed bytes of all transfers since the start of the array, with the present one."""
        return self.results.logical_bytes + (0 if self.transfer is None else self.transfer.logical_bytes)

    def begin(self, transfer: Transfer) -> Transfer:
        """Note that a transfer begins."""
        self.transfer, self.samples = transfer, Samples()
        return transfer

    def sample(self, now_s: float) -> None:
        """Note the progress at a monotonic time."""
        if self.transfer is not None:
            self.samples.add(now_s, self.transfer.logical_bytes, self.transfer.network_bytes)

    def estimate(self, rates: Rates | None, time_s: float) -> Estimate:
        """Estimate the rest of the transfer. `rates` is the throttle of the path, and `time_s` the wall clock."""
        if self.transfer is None:
            return Estimate()
        return self.samples.estimate(self.transfer.bytes_remaining, rates, time_s)
