"""The tally of the commands of one connection. The commands of a batch are counted one by one, but timed together."""

from collections.abc import Callable

from odx_target.scsi.traffic import KIND_OF_OPERATION_CODE, CommandKind, Traffic
from odx_target.scsi.unit.addressed_unit import AddressedUnit

_KINDS = range(len(CommandKind))
_NOTHING = [0] * len(CommandKind)


class BatchTally:
    """Counts the commands of the present batch, and adds them to the traffic of their logical units when the batch has ended.

    A batch is all commands that the connection executes at one wake-up. The latency of these commands is the time from the
    wake-up until their responses are given to the socket. `unit` is the logical unit that the present commands address.
    `counts` and `sizes` have the number and the bytes of these commands, by kind of command. The executor adds to these two
    lists itself, because a call for each command would take too long. `commands` and `size_bytes` are the totals of the
    connection for each kind. `clock` returns the present time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.commands = _NOTHING[:]
        self.size_bytes = _NOTHING[:]
        self.began_s = 0.0
        self.counts = _NOTHING[:]
        self.sizes = _NOTHING[:]
        self.unit: AddressedUnit | None = None
        self._earlier: list[tuple[Traffic, list[int], list[int]]] = []

    def turn_to(self, unit: AddressedUnit) -> None:
        """Count the next commands for another logical unit. The counts of the present logical unit are kept until the end of
        the batch.
        """
        if self.unit is not None and any(self.counts):
            self._earlier.append((self.unit.traffic, self.counts[:], self.sizes[:]))
            # The executor has references to both lists.
            self.counts[:] = _NOTHING
            self.sizes[:] = _NOTHING
        self.unit = unit

    def end(self) -> None:
        """Add all commands of the batch to the traffic. Return at once if the batch has no commands."""
        if self.unit is None or (self.counts == _NOTHING and not self._earlier):
            return
        latency_s = self._clock() - self.began_s
        if self._earlier:
            for traffic, counts, sizes in self._earlier:
                self._add(traffic, counts, sizes, latency_s)
            self._earlier.clear()
        self._add(self.unit.traffic, self.counts, self.sizes, latency_s)

    def count_later(self, unit: AddressedUnit, operation_code: int, size_bytes: int, began_s: float) -> None:
        """Count one command that has ended after its batch. `began_s` is the time at which the batch began."""
        self.count_held(unit, KIND_OF_OPERATION_CODE[operation_code], 1, size_bytes, began_s)

    def count_held(self, unit: AddressedUnit, kind: int, count: int, size_bytes: int, began_s: float) -> None:
        """Count commands of one kind whose replies are sent together after their batch. `size_bytes` is their size."""
        unit.traffic.kinds[kind].add(count, size_bytes, self._clock() - began_s)
        self.commands[kind] += count
        self.size_bytes[kind] += size_bytes

    def _add(self, traffic: Traffic, counts: list[int], sizes: list[int], latency_s: float) -> None:
        for kind in _KINDS:
            count = counts[kind]
            if count:
                traffic.kinds[kind].add(count, sizes[kind], latency_s)
                self.commands[kind] += count
                self.size_bytes[kind] += sizes[kind]
                counts[kind] = sizes[kind] = 0
