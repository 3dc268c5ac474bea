"""The logical units whose volumes belong to groups. Each has the gate of its group and the target port groups of both members.

The member whose pool has the smaller identity has the target port group 1, and the other member has the target port group 2.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import trio

from odx_target.environment import Environment
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_records import SETTINGS_PREFIX, GroupRecords, GroupSettings, InvalidGroupRecord
from odx_target.replica.sync.group_table import GroupTable
from odx_target.replica.sync.limits import MAX_HAND_OVER_S
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import (
    MAX_PORTS_OF_GROUP,
    AccessModes,
    PortGroup,
    PortGroups,
    StatusCode,
)
from odx_target.scsi.reservations.durable import recall
from odx_target.scsi.reservations.holders import UNKNOWN_RESERVATIONS
from odx_target.scsi.sense import ASYMMETRIC_ACCESS_STATE_CHANGED, INQUIRY_DATA_HAS_CHANGED
from odx_target.scsi.tasks.change_notifications import AttachedNexuses
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import Pool, StoreError, Volume
from odx_target.target.groups.gate import FIRST_PORT_OF_SECOND, Gate, reported_number
from odx_target.target.groups.peer_ports import PeerPorts
from odx_target.target.lun_size import size_bytes_of

UNKNOWN_GROUP = ""
"""Name of the gate of all logical units that may belong to a group whose record cannot be read."""

STOP_TIMEOUT_S = 1.0
"""Maximum time for the commands under way to end when the array stops."""

STOP_LOOK_S = 0.01

GOODBYE_S = 0.05
"""Time for the other members to learn that this array stops, before its links are closed. They notice it anyway, but later."""

TRANSITION_TIME_S = math.ceil(MAX_HAND_OVER_S)
"""Time that hosts are told a change of the primary may take."""


class Report(Protocol):
    """Function that logs an event, unless too many events of this kind have been logged."""

    def __call__(self, level: str, event: str, /, **fields: Any) -> None: ...


class TokensOfGroups(Protocol):
    """The tokens of an array, as far as its groups change them; see `CopyManager`."""

    def adopt(self, group: str) -> None: ...

    def disown(self, group: str) -> None: ...

    def token_used(self, name: bytes) -> None: ...

    def token_ended(self, name: bytes) -> bool: ...


class GroupLuns:
    """The gates of all groups that the pool remembers, and the logical units behind them. `logical_units` has all units of the
    array by number, and `ports` returns the relative target ports of the array. `port_groups` returns the target port groups of
    logical units without a group.

    Before `open`, the logical units of groups are unavailable, because the other member may serve them.
    """

    def __init__(
        self,
        pool: Pool,
        logical_units: Mapping[int, LogicalUnit],
        nexuses: AttachedNexuses,
        ports: Callable[[], Sequence[int]],
        port_groups: Callable[[], PortGroups],
        report: Report,
        tokens: TokensOfGroups,
    ) -> None:
        self._tokens = tokens
        self._pool = pool
        self._logical_units = logical_units
        self._nexuses = nexuses
        self._ports = ports
        self._port_groups = port_groups
        self._report = report
        self.peer_ports = PeerPorts(pool, ports)
        self._environment: Environment | None = None
        self._table: GroupTable | None = None
        self._gates: dict[str, Gate] = {}
        self._by_volume: dict[bytes, Gate] = {}
        self._is_any_unreadable = False
        for key in pool.remembered_keys(SETTINGS_PREFIX):
            name = key.removeprefix(SETTINGS_PREFIX)
            try:
                self._add(GroupRecords(pool, name).settings())
            except InvalidGroupRecord as error:
                self._is_any_unreadable = True
                event = "LUNs are unavailable, because they may belong to a group that cannot be read"
                report("error", event, group=name, error=str(error))
        for unit in logical_units.values():
            self.bind(unit)

    def bind(self, unit: LogicalUnit) -> None:
        """Give a logical unit the gate of the group of its volume, if there is one. The commands under way pass it too."""
        gate = self._by_volume.get(unit.volume.identity)
        if gate is None and self._is_any_unreadable:
            gate = self._gates.setdefault(UNKNOWN_GROUP, Gate(UNKNOWN_GROUP, b"", 1, self._changed))
        unit.join(gate)
        if gate is not None:
            unit.port_groups = self._groups_of(gate)
            for member in unit.tasks.members:  # A command that has begun before may end when both members are in sync.
                if isinstance(member.task, Task) and gate not in member.task.gates:
                    member.task.gates = (*member.task.gates, gate)

    def open(self, table: GroupTable, environment: Environment) -> None:
        """Use the groups of a table, which has begun."""
        self._table, self._environment = table, environment
        table.on_change = self.groups_changed
        self.groups_changed()

    async def stop(self) -> None:
        """Make the logical units of all groups unavailable, because the array stops. Commands under way have time to end."""
        gates = [gate for gate in self._gates.values() if gate.group is not None]
        for gate in gates:
            gate.close()
        with trio.move_on_after(STOP_TIMEOUT_S):
            while not all(map(self._is_idle, gates)):
                await trio.sleep(STOP_LOOK_S)
        for gate in gates:
            if gate.group is not None:
                gate.group.incoming.say_goodbye()
        if gates:
            await trio.sleep(GOODBYE_S)
        self._table = None
        for gate in gates:
            gate.group = None
            gate.is_closing = False

    def groups_changed(self) -> None:
        """Bind the logical units of groups that are new, and release those of groups that were removed."""
        if self._table is None:
            return
        groups, unreadable = self._table.groups, self._table.unreadable
        self._is_any_unreadable &= bool(unreadable)
        kept = {*groups, *unreadable, UNKNOWN_GROUP} if self._is_any_unreadable else {*groups, *unreadable}
        for name in self._gates.keys() - kept:
            self._release(self._gates.pop(name))
        for name, group in groups.items():
            gate = self._gates.get(name) or self._add(group.settings)
            if gate.group is not group:
                self._open_gate(gate, name)

    def _open_gate(self, gate: Gate, name: str) -> None:
        assert self._table is not None
        assert self._environment is not None
        group = self._table.groups[name]
        group.is_idle = lambda: self._is_idle(gate)
        gate.group = group
        group.list.on_change.append(lambda: self._volumes_changed(gate, group))
        group.tokens.on_use, group.tokens.on_end = self._tokens.token_used, self._tokens.token_ended
        group.list.on_resize.append(lambda volume: self._size_changed(gate, volume))
        self._volumes_changed(gate, group)
        self._environment.start_soon(
            self.peer_ports.follow,
            self._environment,
            lambda: None if self._table is None else self._table.path_to(group.settings.peer_pool),
            lambda: gate.group is group,
            self.ports_changed,
        )

    def _volumes_changed(self, gate: Gate, group: Group) -> None:
        """Bind the logical units of volumes that have come to a group, and release those of volumes that have left it.

        A volume that a failover may still bring back stays, and hosts are told of changes of it when none can.
        """
        if gate.group is not group:
            return
        others = {volume: each for volume, each in self._by_volume.items() if each is not gate}
        self._by_volume = others | dict.fromkeys(group.records.held_volumes(group.settings), gate)
        for unit in list(self._logical_units.values()):
            wanted = self._by_volume.get(unit.volume.identity)
            if wanted is gate and unit.group is not gate:
                self.bind(unit)
                self._nexuses.tell_all(unit, INQUIRY_DATA_HAS_CHANGED)
            elif wanted is None and unit.group is gate and self._pool.volumes.get(unit.volume.name) is unit.volume:
                self._release_unit(unit)

    def _size_changed(self, gate: Gate, volume: Volume) -> None:
        """Report the size that the primary has given a LUN."""
        for unit in self._units_of(gate):
            if unit.volume is volume:
                self._follow_size(unit)

    def _follow_size(self, unit: LogicalUnit) -> None:
        capacity_blocks = size_bytes_of(unit.volume, self._pool) // unit.block_bytes
        if capacity_blocks != unit.capacity_blocks:
            unit.capacity_blocks = capacity_blocks
            self._nexuses.capacity_changed(unit)

    def ports_changed(self) -> None:
        """Report the present target ports of the array from now on."""
        for gate in self._gates.values():
            for unit in self._units_of(gate):
                unit.port_groups = self._groups_of(gate)

    def _add(self, settings: GroupSettings) -> Gate:
        number = 1 if self._pool.identity < settings.peer_pool else 2
        gate = self._gates[settings.name] = Gate(settings.name, settings.peer_pool, number, self._changed)
        self._by_volume.update(dict.fromkeys(GroupRecords(self._pool, settings.name).held_volumes(settings), gate))
        if any(port >= FIRST_PORT_OF_SECOND for port in self._ports()):
            event = "target ports with portal group tags above 31 cannot be told from those of the other member of a group"
            self._report("warning", event, group=settings.name)
        return gate

    def _release(self, gate: Gate) -> None:
        """Serve the logical units behind a gate as those without a group."""
        self._by_volume = {volume: each for volume, each in self._by_volume.items() if each is not gate}
        for unit in [unit for unit in self._logical_units.values() if unit.group is gate]:
            self._release_unit(unit)
        gate.group = None  # Replies that were held report this.

    def _release_unit(self, unit: LogicalUnit) -> None:
        unit.join(None)
        unit.port_groups = self._port_groups()
        self._nexuses.tell_all(unit, INQUIRY_DATA_HAS_CHANGED)

    def _units_of(self, gate: Gate) -> Iterator[LogicalUnit]:
        return (unit for unit in list(self._logical_units.values()) if self._by_volume.get(unit.volume.identity) is gate)

    def _is_idle(self, gate: Gate) -> bool:
        """True if no command runs on a logical unit of a group, and no reply waits."""
        running = (member.is_running for unit in self._units_of(gate) for member in unit.tasks.members)
        return not gate.on_progress and not any(running)

    def _groups_of(self, gate: Gate) -> PortGroups:
        """Return the target port groups of both members with their present states."""
        own, other = gate.states
        ports = {gate.number: tuple(self._ports())[:MAX_PORTS_OF_GROUP], gate.other_number: self.peer_ports.of(gate.peer_pool)}
        states = {gate.number: own, gate.other_number: other}
        groups = (
            PortGroup(
                number,
                tuple(reported_number(port, number) for port in ports[number]),
                states[number],
                status_code=StatusCode.CHANGED_IMPLICITLY,
            )
            for number in sorted(states)
        )
        return PortGroups(AccessModes.IMPLICIT, tuple(groups), TRANSITION_TIME_S)

    def _changed(self, gate: Gate) -> None:
        """Report new states to hosts. A new primary goes on with the reservations of the former one when it begins to serve:
        until then, a longer stream of the other member may still bring newer ones.
        """
        group = gate.group
        is_primary = group is not None and group.driver.member.is_primary
        is_new = is_primary and not gate.has_served and gate.states.own is AccessState.ACTIVE_OPTIMIZED
        is_former = gate.has_served and not is_primary
        gate.has_served = is_primary and (gate.has_served or is_new)
        if is_new:
            self._tokens.adopt(gate.name)
        elif is_former:
            self._tokens.disown(gate.name)
        groups = self._groups_of(gate)
        for unit in self._units_of(gate):
            if is_new:
                self._take_over(unit)
            unit.port_groups = groups
            self._nexuses.tell_all(unit, ASYMMETRIC_ACCESS_STATE_CHANGED)

    def _take_over(self, unit: LogicalUnit) -> None:
        """Go on with the reservations that the former primary has stored, and with the size that it gave the LUN.

        If the reservations cannot be read, no host uses the LUN before one of them has cleared or preempted them.
        """
        self._follow_size(unit)
        try:
            unit.reservations = recall(self._pool, unit.volume.identity)
        except StoreError as error:
            unit.reservations = UNKNOWN_RESERVATIONS
            event = "the reservations of a LUN cannot be read, and keep all hosts out until a host clears or preempts them"
            self._report("error", event, lun=unit.volume.name, error=str(error))
