"""Several taps as one, such as a trace and a recorder of commands."""

from collections.abc import Sequence

from odx_target.environment import Buffer
from odx_target.target.trace.tap import Address, ConnectionTap, Tap


def joined(*taps: Tap | None) -> Tap | None:
    """Return one tap for all taps that are not None. Return None if there are none."""
    found = [tap for tap in taps if tap is not None]
    return _JoinedTaps(found) if len(found) > 1 else next(iter(found), None)


class _JoinedTaps:
    def __init__(self, taps: Sequence[Tap]) -> None:
        self._taps = taps

    def errors(self) -> list[str]:
        return [error for tap in self._taps for error in tap.errors()]

    def connected(self, peer: Address, local: Address) -> ConnectionTap:
        return _JoinedConnectionTaps([tap.connected(peer, local) for tap in self._taps])


class _JoinedConnectionTaps:
    def __init__(self, taps: Sequence[ConnectionTap]) -> None:
        self._taps = taps

    def received(self, data: memoryview) -> None:
        for tap in self._taps:
            tap.received(data)

    def sent(self, buffers: Sequence[Buffer]) -> None:
        for tap in self._taps:
            tap.sent(buffers)

    def noted(self, text: str) -> None:
        for tap in self._taps:
            tap.noted(text)

    def closed(self) -> None:
        for tap in self._taps:
            tap.closed()
