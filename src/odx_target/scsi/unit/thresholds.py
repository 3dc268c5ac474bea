"""Thresholds of thin provisioning (SBC-4 4.7.3.7), and the state of thresholds. Hosts set thresholds by MODE SELECT.

A threshold has a lower and an upper limit. The difference of these limits is the size of one threshold set, and THRESHOLD COUNT
is the middle between them. A threshold for the available room is reached when this room falls below the lower limit. A
threshold for the used room is reached when this room rises above the upper limit. Hosts are notified once when a threshold is
reached. The threshold is armed again when the room has passed the other limit in the other direction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from odx_target.scsi.limits import THRESHOLD_REPEAT_S, THRESHOLD_SET_BYTES
from odx_target.store.api import Usage

COUNT_OF_THRESHOLDS = 4
"""Number of threshold descriptors in the Logical Block Provisioning mode page."""

MAX_THRESHOLD_COUNT = 0xFFFF_FFFF

_FIRST_DESCRIPTOR_OFFSET = 16
_DESCRIPTOR_BYTES = 8


class ThresholdArming(IntEnum):
    """Values of THRESHOLD ARMING."""

    DECREASING = 0b000
    INCREASING = 0b001


class ThresholdResource(IntEnum):
    """Values of THRESHOLD RESOURCE, which are parameter codes of the Logical Block Provisioning log page."""

    AVAILABLE = 0x01
    USED = 0x02


_DEFINED = {
    (ThresholdResource.AVAILABLE, ThresholdArming.DECREASING),
    (ThresholdResource.USED, ThresholdArming.INCREASING),
}
"""Combinations of resource and arming that SBC-4 table 7 defines for THRESHOLD TYPE 000b."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The fields of a threshold descriptor. `count` is a number of threshold sets."""

    is_enabled: bool = False
    arming: int = ThresholdArming.DECREASING
    resource: int = ThresholdResource.AVAILABLE
    count: int = 0

    @property
    def is_valid(self) -> bool:
        """True if the threshold is disabled, or has a combination of resource and arming that the standard defines."""
        return not self.is_enabled or (self.resource, self.arming) in _DEFINED

    def excess_bytes(self, usage: Usage) -> int | None:
        """Return the number of bytes by which the room has passed the count of the threshold. The number is negative if the
        room has not passed the count. It is None if the room is unknown.
        """
        count_bytes = self.count * THRESHOLD_SET_BYTES
        if self.resource == ThresholdResource.USED:
            return usage.needed_bytes - count_bytes
        return None if usage.obtainable_bytes is None else count_bytes - usage.obtainable_bytes


NO_THRESHOLDS = (Threshold(),) * COUNT_OF_THRESHOLDS


def thresholds_at(percentages: tuple[int, ...], usage: Usage) -> tuple[Threshold, ...]:
    """Return thresholds that are reached when these percentages of the whole room of the pool are used.

    If the room is not known, the thresholds are disabled. They are thresholds for the available room, because data of other
    programs on the same disk also reduces the available room.
    """
    if usage.available_bytes is None:
        return NO_THRESHOLDS
    total_bytes = usage.used_bytes + usage.available_bytes
    enabled = tuple(Threshold(is_enabled=True, count=_count(total_bytes * (100 - percent) // 100)) for percent in percentages)
    return (enabled + NO_THRESHOLDS)[:COUNT_OF_THRESHOLDS]


def descriptor_offset(index: int) -> int:
    """Return the byte offset of a threshold descriptor in the Logical Block Provisioning mode page."""
    return _FIRST_DESCRIPTOR_OFFSET + index * _DESCRIPTOR_BYTES


class ArmedThresholds:
    """The thresholds of one logical unit. `reached` contains the indexes of the thresholds of which hosts have been
    notified.
    """

    def __init__(self, thresholds: tuple[Threshold, ...], clock: Callable[[], float]) -> None:
        self.thresholds = thresholds
        self.reached: set[int] = set()
        self._notified_at_s: dict[int, float] = {}
        self._clock = clock

    def set(self, thresholds: tuple[Threshold, ...]) -> None:
        """Replace the thresholds. Each threshold that differs from its predecessor is armed."""
        for index, (before, after) in enumerate(zip(self.thresholds, thresholds, strict=True)):
            if before != after:
                self.reached.discard(index)
                self._notified_at_s.pop(index, None)
        self.thresholds = thresholds

    def rearm(self) -> None:
        """Arm all thresholds, so that each threshold that is still reached is reported again."""
        self.reached.clear()
        self._notified_at_s.clear()

    def newly_reached(self, usage: Usage) -> list[int]:
        """Return the indexes of the armed thresholds that are reached now. If the room has passed the other limit of a
        threshold in the other direction, arm the threshold again.

        An index is returned at most once in THRESHOLD_REPEAT_S seconds.
        """
        found: list[int] = []
        now_s = self._clock()
        for index, threshold in enumerate(self.thresholds):
            excess_bytes = threshold.excess_bytes(usage) if threshold.is_enabled else None
            if excess_bytes is None:
                continue
            if excess_bytes < -THRESHOLD_SET_BYTES // 2:
                self.reached.discard(index)
            elif excess_bytes > THRESHOLD_SET_BYTES // 2 and index not in self.reached and self._is_due(index, now_s):
                self.reached.add(index)
                self._notified_at_s[index] = now_s
                found.append(index)
        return found

    def _is_due(self, index: int, now_s: float) -> bool:
        return now_s >= self._notified_at_s.get(index, float("-inf")) + THRESHOLD_REPEAT_S


def _count(size_bytes: int) -> int:
    """Convert a size to a number of threshold sets. The number is rounded, and is at least 1."""
    return min(max((size_bytes + THRESHOLD_SET_BYTES // 2) // THRESHOLD_SET_BYTES, 1), MAX_THRESHOLD_COUNT)
