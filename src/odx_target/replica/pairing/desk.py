"""The paths that wait for their pairing. Each of them waits ten minutes, and ends after three attempts with a wrong key."""

from collections.abc import Callable
from dataclasses import dataclass, field

from odx_target.replica.link.errors import LinkError
from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.settings import MAX_PATHS, Address, CompressionChoice, Right

PAIRING_TIME_S = 600.0
"""Time that a path waits for its pairing. An operator needs this time to go from one array to the other."""

MAX_ATTEMPTS = 3
"""Maximum number of attempts with a wrong key. More would help only an attacker who guesses."""

MAX_UNPAIRED = MAX_PATHS
"""Maximum number of names whose pairings have failed that are kept for the operator: as many as an array has paths."""


class NotWaiting(LinkError):
    """No path waits for its pairing."""


@dataclass(slots=True, eq=False)
class WaitingPath:
    """A path that waits for its pairing. `key` is the stretched path key. If `address` is None, only the peer dials."""

    name: str
    key: bytes = field(repr=False)
    address: Address | None
    rights: frozenset[Right]
    rates: Rates
    ends_at_s: float
    compression: CompressionChoice = CompressionChoice.AUTO
    is_rekeyed: bool = False
    """True if the path exists, and the pairing gives it a new secret and the present certificate of the peer."""
    is_paired: bool = False
    """True if the pairing has succeeded here. The peer may still have to repeat it, if it has not received the last frame."""
    attempts: int = 0
    """Number of attempts with a wrong key."""
    is_over: bool = False
    reason: str = ""
    """Reason of the last failure, or an empty text."""


class PairingDesk:
    """The waiting paths by name. `monotonic` returns the time. `on_end` is called for each path that waits no longer."""

    def __init__(self, monotonic: Callable[[], float], on_end: Callable[[WaitingPath], None]) -> None:
        self._monotonic = monotonic
        self._on_end = on_end
        self._waiting: dict[str, WaitingPath] = {}
        self._unpaired: dict[str, str] = {}

    def unpaired(self) -> dict[str, str]:
        """Return the last paths that wait no longer and were not paired: the reason for each name."""
        self.waiting()
        return dict(self._unpaired)

    def waiting(self) -> list[WaitingPath]:
        """Return the paths that still wait."""
        now_s = self._monotonic()
        for path in list(self._waiting.values()):
            if now_s >= path.ends_at_s:
                self._end(path, f"no pairing in {PAIRING_TIME_S:.0f} s")
        return list(self._waiting.values())

    def add(
        self,
        name: str,
        key: bytes,
        address: Address | None,
        rights: frozenset[Right],
        rates: Rates,
        *,
        is_rekeyed: bool = False,
    ) -> WaitingPath:
        """Begin to wait. A path of the same name that waits already gets the new values and new attempts."""
        self._unpaired.pop(name, None)
        former = self._waiting.pop(name, None)
        if former is not None:
            former.is_over = True
        path = WaitingPath(name, key, address, rights, rates, self._monotonic() + PAIRING_TIME_S, is_rekeyed=is_rekeyed)
        self._waiting[name] = path
        return path

    def remove(self, name: str) -> bool:
        """Wait no longer for a path, and forget a failure. Returns False if there is neither."""
        path = self._waiting.pop(name, None)
        if path is not None:
            path.is_over = True
        return self._unpaired.pop(name, None) is not None or path is not None

    def keys(self) -> list[bytes]:
        """Return the keys with which a peer may pair now. Raises NotWaiting if there is none."""
        keys = [path.key for path in self.waiting()]
        if not keys:
            raise NotWaiting("no path waits for its pairing")
        return keys

    def failed(self, reason: str, paths: "list[WaitingPath] | None" = None) -> None:
        """Count an attempt with a wrong key, for some paths or for all that wait."""
        for path in self.waiting() if paths is None else [path for path in paths if not path.is_over]:
            path.attempts += 1
            path.reason = reason
            if path.attempts >= MAX_ATTEMPTS:
                self._end(path, f"{MAX_ATTEMPTS} attempts have failed: {reason}")

    def _end(self, path: WaitingPath, reason: str) -> None:
        del self._waiting[path.name]
        path.is_over, path.reason = True, reason
        if not path.is_paired and not path.is_rekeyed:  # A path that gets no new key keeps its former one.
            self._unpaired[path.name] = reason
            while len(self._unpaired) > MAX_UNPAIRED:
                del self._unpaired[next(iter(self._unpaired))]
        self._on_end(path)
