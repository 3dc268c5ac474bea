"""The hold-off: after a failure of token copy, Windows tries no tokens for three minutes."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from odx_target.initiator.windows.settings import HoldOffScope


@dataclass(slots=True)
class HoldOff:
    """The times at which token copy failed, for each disk or each pair of disks. A disk is identified by any hashable value."""

    duration_s: float
    scope: HoldOffScope
    _marked_s: dict[Hashable, float] = field(default_factory=dict)

    def mark(self, source: Hashable, destination: Hashable, now_s: float) -> None:
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
