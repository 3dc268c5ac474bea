"""The hold-off: after some failures of token copy, Windows tries no tokens for three minutes.

The settings of the host determine the failures, the duration, and whether the hold-off is for a disk or for a pair of disks.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

from odx_target.initiator.windows.nt_status import NtStatus
from odx_target.initiator.windows.settings import HoldOffScope


@dataclass(slots=True)
class HoldOff:
    """The times at which token copy failed, for each disk or each pair of disks. A disk is identified by any hashable value.

    `statuses` has the statuses of failures that begin a hold-off.
    """

    duration_s: float
    scope: HoldOffScope
    statuses: frozenset[NtStatus]
    _marked_s: dict[Hashable, float] = field(default_factory=dict)

    def failed(self, status: NtStatus, source: Hashable, destination: Hashable, now_s: float, *, first_write: bool) -> None:
        """Begin a hold-off if a failure with this status causes one. `first_write` is True if the first write of a copy failed:
        if the target refuses the token of this write, a hold-off begins too.
        """
        refused_at_once = first_write and status is NtStatus.INVALID_TOKEN
        if not refused_at_once and status not in self.statuses:
            return
        for key in self._keys(source, destination):
            self._marked_s[key] = now_s

    def remaining_s(self, source: Hashable, destination: Hashable, now_s: float) -> float:
        """Return the number of seconds for which Windows will try no token for copies between the two disks; 0 if tokens may be
        tried.
        """
        marked = [self._marked_s[key] for key in self._keys(source, destination) if key in self._marked_s]
        return max([0.0, *(at_s + self.duration_s - now_s for at_s in marked)])

    def _keys(self, source: Hashable, destination: Hashable) -> list[Hashable]:
        return [(source, destination)] if self.scope is HoldOffScope.PAIR else [source, destination]
