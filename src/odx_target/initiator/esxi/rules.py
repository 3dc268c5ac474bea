"""A table of the reasons why ESXi does not offload an operation, gives up a copy, or continues in a way that a target may not
expect. docs/esxi-copy.md describes where each rule comes from.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Weight(Enum):
    """The consequence of a rule for a copy."""

    STOPS = "ESXi gives up the copy"
    DECLINES = "ESXi gives up the offload"
    NOTES = "ESXi goes on"


class RuleRow(NamedTuple):
    """The reason of a rule, and its weight."""

    reason: str
    weight: Weight


class Rule(Enum):
    """The rules, in the order in which they apply during a copy."""

    NO_COPY = RuleRow("3PC is 0 in the INQUIRY data: no EXTENDED COPY", Weight.DECLINES)
    NO_NAA = RuleRow("VPD page 83h has no NAA designator of the logical unit", Weight.DECLINES)
    NO_PARAMETERS = RuleRow("RECEIVE COPY OPERATING PARAMETERS failed: the values of the host are used", Weight.NOTES)
    NO_ATS = RuleRow("MAXIMUM COMPARE AND WRITE LENGTH is 0: the whole disk is reserved for each lock", Weight.DECLINES)
    BLOCK_LENGTHS = RuleRow("source and destination have different block lengths", Weight.DECLINES)
    NOT_ALIGNED = RuleRow("the copy is not aligned to the granularity of segments", Weight.DECLINES)
    THICK_TO_THIN = RuleRow("an eagerzeroedthick disk is copied to a thin disk", Weight.DECLINES)
    SEGMENT_SHORT = RuleRow("MAXIMUM SEGMENT LENGTH is less than a read of the data mover", Weight.DECLINES)

    NO_ROOM_FOR_LOCKS = RuleRow("there is no room beside the virtual disk, so locks and heartbeats are left out", Weight.NOTES)
    ATS_FAILED = RuleRow("COMPARE AND WRITE failed: the whole disk is reserved for each lock", Weight.DECLINES)
    OWN_MISCOMPARE = RuleRow("COMPARE AND WRITE reported a miscompare, but the block has the new data", Weight.NOTES)
    LOCK_BUSY = RuleRow("another host has changed the block of the lock: the lock is tried again", Weight.NOTES)
    LOCK_REFUSED = RuleRow("the lock cannot be taken", Weight.STOPS)
    LOCK_LOST = RuleRow("another host has changed a block that this host had locked", Weight.STOPS)
    LOCK_NOT_RELEASED = RuleRow("the lock cannot be released", Weight.NOTES)
    RESERVE_CONFLICT = RuleRow("the disk is reserved by another host: RESERVE is tried again", Weight.NOTES)
    RESERVE_FAILED = RuleRow("RESERVE failed: the lock is written without a reservation", Weight.NOTES)

    COPY_FAILED = RuleRow("EXTENDED COPY failed", Weight.DECLINES)
    COPY_LATE = RuleRow("EXTENDED COPY got no answer in time", Weight.DECLINES)
    OFFLOAD_AGAIN = RuleRow("the offload is tried again", Weight.NOTES)
    ZERO_FAILED = RuleRow("WRITE SAME failed", Weight.DECLINES)

    @property
    def reason(self) -> str:
        return self.value.reason

    @property
    def weight(self) -> Weight:
        return self.value.weight


@dataclass(frozen=True, slots=True)
class Finding:
    """One case in which a rule applied. `where` is the name of the disk, and `position_bytes` is the position in the virtual
    disk.
    """

    rule: Rule
    where: str = ""
    detail: str = ""
    position_bytes: int | None = None

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        detail = f" ({self.detail})" if self.detail else ""
        position = "" if self.position_bytes is None else f" at byte {self.position_bytes} of the virtual disk"
        return f"{where}{self.rule.reason}{detail}{position}"
