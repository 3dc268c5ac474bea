"""The register of a group: who is the primary, and which members are in sync. Every change makes a new epoch."""

from dataclasses import dataclass, replace
from enum import Enum

FORCED_EPOCHS = 1 << 20
"""Number of epochs by which a change by force raises the epoch. So it is newer than those that the member has missed."""


class Change(Enum):
    """A change of a register. The value describes it."""

    DROP = "the primary continues without the other member"
    ADD = "the other member is in sync again"
    PROMOTE = "the other member becomes the primary, and continues without the former one"
    HAND_OVER = "the primary makes the other member the primary"
    FORCE = "a person makes a member the primary, and alone, which may lack changes that hosts were told of"


@dataclass(frozen=True, slots=True)
class Register:
    """A state of a group. A register with a larger epoch is newer; two registers with the same epoch are equal."""

    epoch: int
    primary: str
    in_sync: frozenset[str]

    def changed(self, change: Change, member: str, peer: str) -> "Register":
        """Return the register after a change that `member` requests. `peer` is the other member."""
        primary, in_sync = {
            Change.DROP: (member, {member}),
            Change.ADD: (member, {member, peer}),
            Change.PROMOTE: (member, {member}),
            Change.HAND_OVER: (peer, {member, peer}),
            Change.FORCE: (member, {member}),
        }[change]
        epochs = FORCED_EPOCHS if change is Change.FORCE else 1
        return replace(self, epoch=self.epoch + epochs, primary=primary, in_sync=frozenset(in_sync))

    def allows(self, change: Change, member: str, peer: str) -> bool:
        """True if a member may request a change in this state of the group."""
        is_primary, has_both = self.primary == member, self.in_sync == {member, peer}
        return {
            Change.DROP: is_primary and has_both,
            Change.ADD: is_primary and not has_both,
            Change.PROMOTE: not is_primary and has_both,
            Change.HAND_OVER: is_primary and has_both,
            Change.FORCE: not is_primary or has_both,
        }[change]

    def was_forced_after(self, former: "Register") -> bool:
        """True if a change by force lies between an older register and this one."""
        return self.epoch - former.epoch >= FORCED_EPOCHS // 2
