"""The PDUs of one direction of a connection while there are rules about PDUs: their order, and the pauses between them."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from typing import TypeAlias

from odx_target.target.faults.pauses import Pauses, is_pausing
from odx_target.target.faults.rule import Rule
from odx_target.target.faults.wire_pdu import WirePdu, changed


class _Mark(Enum):
    PAUSE_UNDER_WAY = auto()
    END = auto()
    """The connection ends here."""


_Wait: TypeAlias = Callable[[], Awaitable[None]]


class PduQueue:
    """Puts PDUs in a queue with the faults of rules, and returns the bytes that may pass.

    `begin_pause` starts a task that awaits the pause, calls `pause_ended`, and then asks for the next bytes. `end` ends the
    connection after the bytes that have been returned. `restart` restarts the array.
    """

    def __init__(
        self,
        pauses: Pauses,
        begin_pause: Callable[[_Wait], None],
        end: Callable[[], None],
        restart: Callable[[], None],
    ) -> None:
        self._pauses = pauses
        self._begin_pause = begin_pause
        self._end = end
        self._restart = restart
        self._items: deque[bytes | _Mark | _Wait] = deque()
        self._reordered: list[bytes] = []
        self._has_ended = False

    @property
    def is_empty(self) -> bool:
        return not (self._items or self._reordered or self._has_ended)

    def add(self, pdu: WirePdu, hits: Sequence[Rule]) -> None:
        """Add a PDU with the faults of the rules that have fired."""
        contents = [pdu.content]
        stop: _Mark | _Wait | None = None
        is_reordered = False
        for rule in hits:
            faults = rule.faults()
            if is_pausing(rule):
                self._items.append(self._pauses.of(rule))
            if "restart" in faults:
                self._restart()
            if contents:
                more_copies = len(contents) - 1  # those of the rules before this one
                contents = self._copies(WirePdu(contents[0], pdu.digests), faults)
                contents += contents[:1] * more_copies
            if "cut" in faults or "close" in faults:
                contents, stop = [pdu.content[: faults.get("cut", 0)]], _Mark.END
            if "stall" in faults:
                contents, stop = [pdu.content[: faults["stall"]]], self._pauses.until_released(rule)
            is_reordered = is_reordered or "reorder" in faults
        if is_reordered:
            self._reordered += contents
            return
        self._items.extend(contents)
        self._items.extend(self._reordered)
        self._reordered.clear()
        if stop is not None:
            self._items.append(stop)

    def take(self) -> list[bytes]:
        """Return the bytes that may pass now."""
        passed: list[bytes] = []
        while self._items and not self._has_ended:
            item = self._items[0]
            if isinstance(item, bytes):
                passed.append(item)
                self._items.popleft()
            elif item is _Mark.END:
                self._has_ended = True
                self._items.clear()
                self._end()
            elif item is _Mark.PAUSE_UNDER_WAY:
                break
            else:
                assert callable(item)
                self._items[0] = _Mark.PAUSE_UNDER_WAY
                self._begin_pause(item)
        return [content for content in passed if content]

    def pause_ended(self) -> None:
        """Remove the pause at the head of the queue."""
        if self._items and self._items[0] is _Mark.PAUSE_UNDER_WAY:
            self._items.popleft()

    @staticmethod
    def _copies(pdu: WirePdu, faults: dict[str, object]) -> list[bytes]:
        if "drop" in faults:
            return []
        count = faults.get("duplicate", 0)
        assert isinstance(count, int)
        return [changed(pdu, faults)] * (1 + count)
