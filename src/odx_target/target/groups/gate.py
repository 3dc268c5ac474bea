"""The gate of a group, which the commands of hosts pass."""

from collections.abc import Callable
from dataclasses import replace

from odx_target.replica.sync.access_states import MemberStates, access_states
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_states import GroupState, NotServing
from odx_target.scsi.asymmetric_access.access_state import AccessState, refusal_in
from odx_target.scsi.sense import TARGET_PORT_IN_UNAVAILABLE_STATE, CheckCondition
from odx_target.scsi.target_port import TargetPort
from odx_target.scsi.unit.group_gate import GroupGate

CLOSED = MemberStates(AccessState.UNAVAILABLE, AccessState.STANDBY)
"""The states while the group does not run in this array: before its link port is open, and when it stops."""

FIRST_PORT_OF_SECOND = 0x8000
"""The member with the target port group 2 reports its relative target ports from here on, so that both members report different
numbers for their ports, although none of them knows the ports of the other one.
"""


def reported_number(relative_target_port: int, group_number: int) -> int:
    """Return the number that hosts see of a relative target port of a member, which is lower than FIRST_PORT_OF_SECOND."""
    return relative_target_port if group_number == 1 else relative_target_port ^ FIRST_PORT_OF_SECOND


NEVER_S = float("-inf")


class Gate:
    """The gate of the group `name`, which implements `GroupGate`. `peer_pool` is the identity of the pool of the other
    member, and `number` is the number of the target port group of this member.

    `on_change` is called when the states have changed. `group` is None while the group does not run. While `is_closing` is
    True, only commands that are under way go on.
    """

    def __init__(self, name: str, peer_pool: bytes, number: int, on_change: Callable[["Gate"], None]) -> None:
        self.name = name
        self.peer_pool = peer_pool
        self.number = number
        self.on_progress: set[Callable[[], None]] = set()
        self.states = CLOSED
        """The states of which hosts were notified last."""
        self.has_served = False
        """True if this member has served hosts since it became the primary."""
        self.is_closing = False
        self.alone: tuple[GroupGate, ...] = (self,)
        self._open_until_s = NEVER_S
        self._group: Group | None = None
        self._on_change = on_change

    @property
    def group(self) -> Group | None:
        """The running group. None while the logical units are unavailable."""
        return self._group

    @group.setter
    def group(self, group: Group | None) -> None:
        if self._group is not None:
            self._group.progress.on_change.remove(self._progressed)
            self._group.progress.on_advance.remove(self._advanced)
        self._group = group
        if group is not None:
            group.progress.on_change.append(self._progressed)
            group.progress.on_advance.append(self._advanced)
        self._progressed()

    def close(self) -> None:
        """Accept no further commands. Those under way go on."""
        self.is_closing = True
        self._progressed()

    @property
    def other_number(self) -> int:
        """The number of the target port group of the other member."""
        return 3 - self.number

    @property
    def access_state(self) -> AccessState:
        group = self._group
        states = CLOSED if group is None or self.is_closing else access_states(group)
        if states != self.states and group is not None and self._pauses(group):
            return states.own
        if states != self.states:
            self.states = states
            self._on_change(self)
        return states.own

    def _pauses(self, group: Group) -> bool:
        """True if a member that serves does not for the moment in which a record becomes durable, so that no host needs to be
        notified. A new primary that waits for its first lease is no such moment: hosts must not prefer the former one.
        """
        serves = self.states.own is AccessState.ACTIVE_OPTIMIZED
        return serves and group.driver.is_settling and group.state is GroupState.SETTLING

    @property
    def due_osn(self) -> int | None:
        return None if self._group is None else self._group.due_osn

    def is_open(self) -> bool:
        group = self._group
        if group is None or group.driver.is_settling:
            return False
        now_s = group.monotonic()
        if now_s >= self._open_until_s:
            is_serving = self.access_state is AccessState.ACTIVE_OPTIMIZED and group.driver.position.is_open
            self._open_until_s = group.driver.member.serves_until_s if is_serving else NEVER_S
        return now_s < self._open_until_s

    def refusal(self) -> CheckCondition | None:
        return None if self._group is not None and self._group.driver.serves else self.lost_reply()

    def admit(self) -> None:
        if self._group is None:
            raise self.lost_reply()
        try:
            self._group.admit_change()
        except NotServing:
            raise self.lost_reply() from None

    def lost_reply(self) -> CheckCondition:
        """Return the sense data of the present state. A host then repeats the command at a port that is active.

        If this member serves again, only the result of the command is unknown, and the host repeats it at any port.
        """
        return CheckCondition(refusal_in(self.access_state) or TARGET_PORT_IN_UNAVAILABLE_STATE)

    async def flush(self) -> None:
        if self._group is None:
            raise self.lost_reply()
        try:
            await self._group.flush_members()
        except NotServing:
            raise self.lost_reply() from None

    def reported_port(self, port: TargetPort) -> TargetPort:
        return replace(
            port,
            relative_target_port=reported_number(port.relative_target_port, self.number),
            target_port_group=self.number,
        )

    def _progressed(self) -> None:
        """Notice changes of the states, and release replies that are due."""
        self._open_until_s = NEVER_S
        _ = self.access_state
        self._advanced()

    def _advanced(self) -> None:
        """Release replies that are due."""
        for function in list(self.on_progress):
            function()
