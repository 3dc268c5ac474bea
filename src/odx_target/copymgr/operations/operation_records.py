"""The records of copy operations, with limits on their number, memory and age (SPC-4 5.16.4.5).

The key of a record is the I_T nexus, the logical unit and the list identifier of the command. Therefore two programs on one
host can use the same list identifier for different disks.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import TypeAlias

from odx_target.copymgr.commands.parameter_lists import ServiceAction
from odx_target.copymgr.limits import RECORD_OVERHEAD_BYTES, CopyLimits
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.turns import Steps

Key: TypeAlias = tuple[LogicalUnit, int]


_STEPS_OF_A_RECORD = 3


class RecordTable:
    """Operations by nexus, logical unit and list identifier. The oldest operation is first."""

    def __init__(self, limits: CopyLimits) -> None:
        self._limits = limits
        self._by_nexus: dict[Nexus, OrderedDict[Key, CopyOperation]] = {}
        self._finished: OrderedDict[CopyOperation, float] = OrderedDict()
        """Records of finished operations and their expiry times, in the order of expiry."""
        self.total_bytes = 0
        self.evictions = 0

    def __iter__(self) -> Iterator[CopyOperation]:
        return (operation for records in self._by_nexus.values() for operation in records.values())

    def __len__(self) -> int:
        return sum(len(records) for records in self._by_nexus.values())

    def find(self, nexus: Nexus, logical_unit: LogicalUnit, list_identifier: int) -> CopyOperation | None:
        """Return the operation of this nexus with this list identifier, or None."""
        records = self._by_nexus.get(nexus)
        return None if records is None else records.get((logical_unit, list_identifier))

    def find_leniently(
        self, nexus: Nexus, logical_unit: LogicalUnit, list_identifier: int, now_s: float
    ) -> CopyOperation | None:
        """Return the operation of this nexus with this list identifier.

        If this nexus has no such operation, return the latest operation with this list identifier from another nexus of the
        same initiator. Expired records are ignored, even if they have not been removed yet.
        """
        exact = self.find(nexus, logical_unit, list_identifier)
        if exact is not None and not self.is_over(exact, now_s):
            return exact
        others = [
            records[logical_unit, list_identifier]
            for other, records in self._by_nexus.items()
            if other.initiator_name == nexus.initiator_name and (logical_unit, list_identifier) in records
        ]
        living = [operation for operation in others if not self.is_over(operation, now_s)]
        return max(living, key=lambda operation: operation.number, default=None)

    def has_room(self, nexus: Nexus) -> bool:
        """True if a nexus may begin one more operation. False if the nexus has the maximum number of records and all of them
        belong to running operations.
        """
        records = self._by_nexus.get(nexus)
        if records is None or len(records) < self._limits.max_records_per_nexus:
            return True
        return self._victim(records) is not None

    def add(self, operation: CopyOperation) -> None:
        """Add the record of a new operation.

        The new record replaces the record of a finished operation with the same identifier (SPC-4 5.16.4.2).
        """
        key = (operation.logical_unit, operation.list_identifier)
        self._remove(operation.nexus, key)
        records = self._by_nexus.setdefault(operation.nexus, OrderedDict())
        while len(records) >= self._limits.max_records_per_nexus:
            self._evict(operation.nexus)
        records[key] = operation
        self.total_bytes += RECORD_OVERHEAD_BYTES

    def finished(self, operation: CopyOperation, now_s: float) -> None:
        """Note the end of an operation, and add the size of its sense data and token to the memory that all records use."""
        if operation in self._finished or not self._holds(operation):
            return
        self.total_bytes += operation.record_bytes - RECORD_OVERHEAD_BYTES
        self._finished[operation] = now_s + self._limits.record_lifetime_s
        while self.total_bytes > self._limits.max_record_bytes and self._evict_oldest_of_all(operation):
            pass

    def release_token(self, operation: CopyOperation) -> None:
        """Remove the token from a record, because the initiator does not need the token any more. The other fields stay."""
        before_bytes = operation.record_bytes
        operation.token = b""
        if operation in self._finished:
            self.total_bytes += operation.record_bytes - before_bytes

    def drop_nexus(self, nexus: Nexus) -> None:
        """Remove the records of a lost I_T nexus."""
        for key in list(self._by_nexus.get(nexus, ())):
            self._remove(nexus, key)

    def drop_logical_unit(self, logical_unit: LogicalUnit) -> None:
        """Remove all records of a logical unit after its reset."""
        for nexus, records in list(self._by_nexus.items()):
            for key in [key for key in records if key[0] is logical_unit]:
                self._remove(nexus, key)

    def expire(self, now_s: float, steps: Steps) -> bool:
        """Remove expired records until the budget `steps` is used up. Return True if expired records remain."""
        while self._finished:
            operation, until_s = next(iter(self._finished.items()))
            if now_s < until_s:
                return False
            if steps.left <= 0:
                return True
            steps.take(_STEPS_OF_A_RECORD)
            self._remove(operation.nexus, (operation.logical_unit, operation.list_identifier))
        return False

    def is_over(self, operation: CopyOperation, now_s: float) -> bool:
        """True if a record has expired, even if it is not removed yet."""
        until_s = self._finished.get(operation)
        return until_s is not None and now_s >= until_s

    def next_expiry(self) -> float | None:
        """Return the monotonic time at which the next record expires, or None. Only records of finished operations expire."""
        return next(iter(self._finished.values()), None)

    def _holds(self, operation: CopyOperation) -> bool:
        return self.find(operation.nexus, operation.logical_unit, operation.list_identifier) is operation

    def _remove(self, nexus: Nexus, key: Key) -> None:
        records = self._by_nexus.get(nexus)
        operation = None if records is None else records.pop(key, None)
        if records is None or operation is None:
            return
        is_finished = self._finished.pop(operation, None) is not None
        self.total_bytes -= operation.record_bytes if is_finished else RECORD_OVERHEAD_BYTES
        if not records:
            del self._by_nexus[nexus]

    def _victim(self, records: dict[Key, CopyOperation]) -> CopyOperation | None:
        """Return the record to evict, or None. Records of finished writes are evicted first, then finished records without a
        token to report, then the oldest finished record.
        """
        for operation in records.values():
            if operation.service_action == ServiceAction.WRITE_USING_TOKEN and not operation.is_in_progress:
                return operation
        finished = [operation for operation in records.values() if not operation.is_in_progress]
        told = [operation for operation in finished if not operation.holds_token]
        return next(iter(told or finished), None)

    def _evict(self, nexus: Nexus) -> None:
        victim = self._victim(self._by_nexus[nexus])
        assert victim is not None, "has_room is asked before"
        self.evictions += 1
        self._remove(nexus, (victim.logical_unit, victim.list_identifier))

    def _evict_oldest_of_all(self, but: CopyOperation) -> bool:
        """Evict one record of any nexus, except the record `but`. Return False if no record can be evicted."""
        victims = [self._victim(records) for records in self._by_nexus.values()]
        candidates = [victim for victim in victims if victim is not None and victim is not but]
        if not candidates:
            return False
        oldest = min(candidates, key=_eviction_order)
        self._evict(oldest.nexus)
        return True


def _eviction_order(operation: CopyOperation) -> tuple[bool, bool, int]:
    is_write = operation.service_action == ServiceAction.WRITE_USING_TOKEN
    return (not is_write, operation.holds_token, operation.number)
