"""The interface of a logical unit to the group of its volume, if two arrays keep the volume equal.

Both arrays report the volume as one logical unit with two target port groups, one for the ports of each array. At most one of
the arrays serves hosts at a time.
"""

from collections.abc import Callable
from typing import Protocol

from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.sense import CheckCondition
from odx_target.scsi.target_port import TargetPort


class GroupGate(Protocol):
    """The group of a logical unit, as the commands of hosts use it.

    A command that changes or tells something that both arrays have passes `admit` before it runs. Its reply waits until
    `due_osn` is not lower than the OSN that the pool had committed when the command had ended.
    """

    name: str
    """The name of the group."""
    alone: "tuple[GroupGate, ...]"
    """Only this group, as a value of `Task.gates`."""
    on_progress: set[Callable[[], None]]
    """Functions that are called when `due_osn` may have changed. Transports that keep replies add theirs."""

    @property
    def access_state(self) -> AccessState:
        """The present asymmetric access state of the logical unit at the ports of this array."""

    @property
    def due_osn(self) -> int | None:
        """Hosts may be told of all changes with a lower OSN than this one. None if nobody knows whether changes stay that hosts
        were not told of.
        """

    def is_open(self) -> bool:
        """True if a new command may run without any other call, apart from `flush`. False if this must be checked with care."""

    def refusal(self) -> CheckCondition | None:
        """Return the sense data for a command that is under way, if it must change and read nothing any more."""

    def admit(self) -> None:
        """Prepare the group for a change by a command that runs now. Raises CheckCondition if the command must not change
        anything. May raise the exceptions of `Volume.write`.
        """

    def lost_reply(self) -> CheckCondition:
        """Return the sense data instead of a reply if nobody knows whether the changes of the command stay."""

    async def flush(self) -> None:
        """Make everything durable at both arrays of which hosts were told. Raises CheckCondition, StoreError."""

    def reported_port(self, port: TargetPort) -> TargetPort:
        """Return a target port of this array with the numbers that it has in the group."""
