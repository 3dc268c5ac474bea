"""An array: a pool, its logical units, their copy manager, and the portals where initiators connect.

`async with` opens a nursery in which all tasks of the array run. There is no global state, so a process can run any number of
arrays.
"""

import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import trio

from odx_target.copymgr.manager import CopyManager
from odx_target.migration.import_table import ImportTable
from odx_target.migration.source_loading import source_of
from odx_target.scsi.commands.blocks.sanitize_job import continue_sanitize
from odx_target.scsi.commands.standard import standard_commands
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.threshold_watch import ThresholdWatch
from odx_target.store.api import Pool, PoolFailed, Scarcity, Trouble, TroubleKind
from odx_target.target.access.addresses import Addresses
from odx_target.target.access.changes import AccessChanges
from odx_target.target.access.port_group_states import PortGroupStates
from odx_target.target.access.port_numbers import PortNumbers
from odx_target.target.access.target_changes import TargetChanges
from odx_target.target.access.targets import (
    Target,
    TargetPortAccess,
    all_ports,
    authentications_of,
    limits_of,
    portals_of,
    target_configs,
    target_ports_of,
    targets_of,
)
from odx_target.target.clock.array_clock import ArrayClock
from odx_target.target.clock.steered_environment import connection_clock_of, environments_of
from odx_target.target.config.copy_settings import copy_limits_of, copy_options_of
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal
from odx_target.target.copy_refusal_report import report_refusal
from odx_target.target.faults.injection import FaultInjection
from odx_target.target.faults.rules import FaultRules
from odx_target.target.file_descriptors import DEFAULT_SOCKETS
from odx_target.target.foreground_latency import ForegroundLatency
from odx_target.target.groups.grouped_luns import has_groups
from odx_target.target.inputs.edge import Edge
from odx_target.target.job_nursery import JobNursery
from odx_target.target.listening_sockets import Listening, bind_portals, close_sockets
from odx_target.target.logical_units import attach_logical_units, logical_units_named
from odx_target.target.lun_changes import LunChanges
from odx_target.target.personality.application import apply_to_server
from odx_target.target.pool_trouble_log import report_trouble
from odx_target.target.recording.recorder import CommandRecorder
from odx_target.target.reporter import Reporter
from odx_target.target.schedules.runner import ScheduleRunner
from odx_target.target.schedules.templates import open_schedules
from odx_target.target.server.listener import ConnectedSession, Listener
from odx_target.target.server.memory_division import MemoryBudget
from odx_target.target.threshold_reports import watch_thresholds
from odx_target.target.trace.joined_taps import joined
from odx_target.target.trace.tap import Tap
from odx_target.target.trio_environment import TrioEnvironment

if TYPE_CHECKING:
    from odx_target.replica.sync.group_table import GroupTable
    from odx_target.target.groups.group_luns import GroupLuns
    from odx_target.target.peers.peering import Peering

STOP_TIMEOUT_S = 1.0
"""Time in which initiators can receive their replies and log out when the array stops.

After this time, the array cuts all connections, so that no peer can delay the stop.
"""

UPKEEP_INTERVAL_S = 1.0
"""Interval at which the array removes expired tokens and checks the room of the pool.

An expired token is refused even before it is removed.
"""

OpenPool = Callable[[TrioEnvironment, Config], Awaitable[Pool]]


class Array:
    """An array that serves while its `async with` body runs.

    `open_pool` opens the pool that `config` describes. Tests may replace `entropy` and `wall_clock`. The monotonic clock comes
    from trio. `tap` receives the bytes of every connection. At most `max_sockets` sockets of hosts are open at the same time.
    `recorder` records the commands. If `clock` is given, the array takes its time from this clock, and not from `wall_clock`.
    After a restart, `faults` has the rules of the array that has stopped, and `former_portals` are its `portals`, so that hosts
    find the array at the same ports. If `edge` is given, all inputs come through it, and `clock` is its clock.

    Raises ConfigError for settings that contradict each other, StoreError if the pool cannot be opened, and OSError if a portal
    cannot be bound.
    """

    def __init__(
        self,
        config: Config,
        *,
        open_pool: OpenPool,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        wall_clock: Callable[[], float] = time.time,
        tap: Tap | None = None,
        max_sockets: int = DEFAULT_SOCKETS,
        clock: ArrayClock | None = None,
        recorder: CommandRecorder | None = None,
        faults: FaultRules | None = None,
        edge: Edge | None = None,
        former_portals: Sequence[Portal] = (),
    ) -> None:
        self.config = config
        self.edge = edge
        self.clock = clock
        self.recorder = recorder
        self._former_portals = former_portals
        self._open_pool = open_pool
        self._entropy = entropy
        self._wall_clock = wall_clock
        self.tap = tap
        self._max_sockets = max_sockets
        self._authentications = authentications_of(config, entropy)
        self.memory_budget = MemoryBudget(config.memory_limit_bytes)
        self.pool: Pool
        self.logical_units: dict[int, LogicalUnit] = {}
        self.targets: list[Target] = []
        self.copy_manager: CopyManager
        self.lun_changes: LunChanges
        self.access_changes: AccessChanges
        self.target_changes: TargetChanges
        self.port_group_states: PortGroupStates
        self._port_numbers: PortNumbers
        self.schedules: ScheduleRunner
        self.imports: ImportTable | None = None
        """The imports of LUNs of other arrays. None if the session of the array is recorded or replayed."""
        self.peering: Peering | None = None
        """The paths to other arrays. None if the array has no link port."""
        self.groups: GroupTable | None = None
        """The groups of which the array is a member or the witness. None if the array has no link port."""
        self.group_luns: GroupLuns | None = None
        """The logical units of groups. None if the array has no link port, and the pool knows no group."""
        self.device_server: DeviceServer
        self._listener: Listener
        self.threshold_watch: ThresholdWatch
        self.environment: TrioEnvironment
        self.reporter = Reporter(trio.current_time)
        self._are_rules_new = faults is None
        self.faults = faults or FaultRules(trio.Event, config.fault_seed)
        """The rules by which faults are injected. There are none at first, apart from those of `config`."""
        self.restart_wanted = trio.Event()
        """Set if a fault restarts the array. All connections have then been cut. The owner of the array restarts it."""
        self._foreground_latency = ForegroundLatency()
        self._copies = JobNursery()
        self._nursery_manager = trio.open_nursery()
        self._nursery: trio.Nursery

    @property
    def portals(self) -> tuple[Portal, ...]:
        """The portals at which the array listens.

        A portal has its actual port number, even if it was configured with port 0.
        """
        return self._listener.portals

    async def resize_lun(self, name: str, size_bytes: int) -> bool:
        """Enlarge a LUN while hosts use it, and notify every host. Return False if the LUN already has this size.

        If the pool must make room for the change, this method waits. Raises PoolFull and PoolFailed. Raises ConfigError for an
        unknown name or an invalid size.
        """
        return await self.lun_changes.resizing.grow(self.logical_unit_named(name), size_bytes)

    async def shrink_lun(self, name: str, size_bytes: int) -> None:
        """Make a LUN smaller while hosts use it, and notify every host.

        Raises DamagedBlock, PoolFull and PoolFailed. Raises ConfigError for an unknown name or an invalid size.
        """
        await self.lun_changes.resizing.shrink(self.logical_unit_named(name), size_bytes)

    def logical_unit_named(self, name: str) -> LogicalUnit:
        """Return the logical unit of a LUN. Raises ConfigError if no LUN has this name."""
        for logical_unit in self.logical_units.values():
            if logical_unit.volume.name == name:
                return logical_unit
        raise ConfigError(f"there is no LUN {name}")

    def admit(self, connected: socket.socket, accepted_at: Portal) -> None:
        """Serve a connected socket, as if a portal had accepted it."""
        self._listener.admit(connected, accepted_at)

    def set_polling(self, *, polls: bool) -> None:
        """Poll the sockets of hosts before each wait from now on, or no longer."""
        self._listener.set_polling(polls=polls)

    def sessions(self) -> list[ConnectedSession]:
        """Return the sessions of all hosts."""
        return self._listener.sessions()

    def commit(self) -> None:
        """Commit changes that management has made. If a commit is not possible now, a later commit includes these changes.

        Call this method before hosts are notified of the changes. If the pool has failed, all connections are closed, and
        PoolFailed is raised.
        """
        try:
            self.pool.commit()
        except Scarcity:
            return
        except PoolFailed as error:
            self._listener.pool_failed(error)
            raise

    async def make_durable(self) -> None:
        """Commit and flush changes that management has made, and wait until the changes are durable.

        If the pool has failed, all connections are closed, and PoolFailed is raised.
        """
        await self._committed()
        await self.pool.flush()

    async def _committed(self) -> None:
        """Commit all changes. If the pool has failed, all connections are closed, and PoolFailed is raised."""
        try:
            await self.pool.committed()
        except PoolFailed as error:
            self._listener.pool_failed(error)
            raise

    async def __aenter__(self) -> Self:
        self._nursery = await self._nursery_manager.__aenter__()
        try:
            await self._start()
        except BaseException:
            await self._leave_nursery()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._stop()
        except BaseException as stop_error:
            error = stop_error
            raise
        finally:
            try:
                await self._leave_nursery()
            except trio.Cancelled:
                if error is None:
                    raise
                # Raise the error that ended the body or the stop. It is more useful than the cancellation that followed.

    async def _stop(self) -> None:
        with trio.CancelScope(shield=True):
            try:
                if self.edge is not None:
                    with trio.move_on_after(STOP_TIMEOUT_S):
                        await self.edge.stopping()
                await self._listener.stop(STOP_TIMEOUT_S)
                if self.edge is not None:
                    await self.edge.stopped()
                await self._copies.stop()
            finally:
                self.faults.detach()
                await self.pool.close()

    async def _start(self) -> None:
        # Bind the portals first: if this fails, nothing has been created on disk.
        bind = bind_portals if self.edge is None else self.edge.bind
        bound = await bind(portals_of(self.config), self._former_portals)
        try:
            environment, of_store = environments_of(self._nursery, self._entropy, self._wall_clock, self.clock)
            self.environment = environment
            self.pool = await self._open_pool(of_store, self.config)
            self.pool.on_trouble.append(self._report_trouble)
            try:
                await self._start_on_pool(environment, bound)
            except BaseException:
                with trio.CancelScope(shield=True):
                    await self.pool.close()
                raise
        except BaseException:
            close_sockets(bound)
            raise

    async def _start_on_pool(self, environment: TrioEnvironment, bound: Sequence[Listening]) -> None:
        await self._nursery.start(self._copies.run)
        jobs = environment.with_jobs_in(self._copies.nursery)
        self._make_servers(jobs)
        self.logical_units = attach_logical_units(self.config, self.pool, jobs)
        actual = [each.address for each in bound]
        port_numbers = self._port_numbers = PortNumbers(self.pool, self.logical_units)
        numbers = port_numbers.numbers_at_start(target_configs(self.config))
        self.targets += targets_of(self.config, self.logical_units, self._authentications, actual, numbers)
        addresses = Addresses()
        addresses.set(self.config, {each.portal: each.address for each in bound})
        self.device_server.port_access = TargetPortAccess(self.targets)
        port_groups = target_ports_of(self.config).port_groups(all_ports(self.targets))
        states = self.port_group_states = PortGroupStates(
            port_groups, self.logical_units, self.device_server, jobs, self.config.port_groups
        )
        if has_groups(self.pool):
            self.make_group_luns()
        self.pool.commit()
        await self._start_copy_manager()
        self._report_no_room()
        self.threshold_watch = watch_thresholds(self.pool, self.logical_units, self.device_server, environment, self.reporter)
        if damaged := self.copy_manager.copies.durable_tokens.damaged:
            self.reporter.report("error", "persistent tokens that cannot be read are removed", count=damaged)
        self.lun_changes = LunChanges(
            self.logical_units,
            self.pool,
            self.device_server,
            self.copy_manager,
            jobs,
            self.config,
            self.commit,
            self.targets,
            lambda: states.port_groups,
            self._bind,
        )
        commands = None if self.edge is None else self.edge.commands
        report, templates = self.reporter.report, self.config.schedules
        self.schedules = await open_schedules(self.pool, jobs, report, self.make_durable, templates, commands)
        jobs.start_soon(self.schedules.run)
        self._listener = self._listener_at(bound, addresses)
        self._listener.set_limits(limits_of(self.config))
        states.on_offline = self._listener.cut_port_group
        self.access_changes = AccessChanges(
            self.targets, self.device_server, self.copy_manager, environment, self._listener.cut_sessions
        )
        self.target_changes = TargetChanges(
            self.targets,
            self.logical_units,
            self.access_changes,
            self._listener,
            addresses,
            self._entropy,
            port_numbers,
            self.commit,
        )
        self._inject_faults(environment)
        self._serve(jobs)

    async def _start_copy_manager(self) -> None:
        for logical_unit in self.logical_units.values():
            self.copy_manager.attach_logical_unit(logical_unit)
        self.copy_manager.copies.remote_logical_units.update(logical_units_named(self.logical_units, self.config.remote_luns))
        self.copy_manager.copies.copy_rate.set(self.config.copy_rate_bytes_per_s)
        await self.copy_manager.start()

    def make_group_luns(self) -> "GroupLuns":
        """Make the logical units of groups unavailable, until the link port is open. A second call changes nothing."""
        from odx_target.target.groups.group_luns import GroupLuns  # An array without groups does not load it.

        if self.group_luns is None:
            self.group_luns = GroupLuns(
                self.pool,
                self.logical_units,
                self.device_server,
                lambda: sorted(port.relative_target_port for port in all_ports(self.targets)),
                lambda: self.port_group_states.port_groups,
                self.reporter.report,
                self.copy_manager,
            )
        return self.group_luns

    def _bind(self, logical_unit: LogicalUnit) -> None:
        """Give a new logical unit the gate of the group of its volume, if there is one."""
        if self.group_luns is not None:
            self.group_luns.bind(logical_unit)

    def _serve(self, jobs: TrioEnvironment) -> None:
        """Accept connections, and begin or continue the work in the background. All parts of the array are present."""
        if self.edge is not None:
            self.pool.turns.are_equal = True
            self.edge.started(self, self._nursery)
        else:
            self.imports = ImportTable(
                self.pool, jobs, partial(source_of, environment=jobs), self.reporter.report, self._committed
            )
            self.imports.start()
        self._listener.start(self._nursery)
        self._nursery.start_soon(self._keep_up)
        for logical_unit in self.logical_units.values():
            if logical_unit.group is None:
                continue_sanitize(logical_unit)

    def _make_servers(self, jobs: TrioEnvironment) -> None:
        """Make the copy manager and the device server, which call each other and this array."""
        copies = self.copy_manager = CopyManager(self.pool, jobs, copy_limits_of(self.config), copy_options_of(self.config))
        copies.copies.on_internal_error = self._report_internal_error
        copies.copies.refusals.on_note = partial(report_refusal, self.reporter)
        server = self.device_server = DeviceServer([*standard_commands(), *copies.commands()])
        apply_to_server(self.config.personality, server)
        server.on_internal_error = self._report_internal_error
        copies.connect(server)

    def _inject_faults(self, environment: TrioEnvironment) -> None:
        """Connect the fault rules with the parts of the array on which they act, and add the rules of the settings."""
        FaultInjection(
            self.faults,
            self.device_server,
            self.copy_manager.copies,
            self.pool,
            environment,
            self.reporter,
            self._listener,
            self._want_restart,
        )
        if self.edge is not None:
            edge = self.edge
            self.faults.on_hit.append(lambda rule, _seen: edge.note(f"fault injected by the rule {rule.name}: {rule.text}"))
        self.faults.clock = environment.monotonic
        for rule in (*self.config.personality.faults, *self.config.faults) if self._are_rules_new else ():
            self.faults.add(rule)

    def _want_restart(self) -> None:
        self._listener.stop_accepting()
        self._listener.cut_all()
        self.restart_wanted.set()

    def _listener_at(self, bound: Sequence[Listening], addresses: Addresses) -> Listener:
        """Return the listener for the sockets of the portals. It accepts no connections yet."""
        return Listener(
            self.targets,
            addresses,
            bound,
            self.device_server,
            self.pool,
            self.memory_budget,
            joined(self.tap, self.recorder),
            self.reporter,
            self._max_sockets,
            polls=self.config.polling,
            connection_clock=connection_clock_of(self.clock),
            edge=self.edge,
            is_group_offline=self.port_group_states.is_offline,
        )

    async def _keep_up(self) -> None:
        while True:
            await self.environment.sleep(UPKEEP_INTERVAL_S)
            self.reporter.tick()
            self.threshold_watch.check_soon()
            if self.config.step_aside_latency_s is not None:
                await self._note_latency()
            # The release of blocks of tokens writes to the log.
            with suppress(PoolFailed):
                self._port_numbers.store_again()
                await self.copy_manager.expire_in_turns(self.commit)

    async def _note_latency(self) -> None:
        """Report the latency of the reads and writes of hosts to the copy manager, which may have to step aside."""
        units, removed = self.logical_units.values(), self.lun_changes.removed_traffic
        latency_s = await self._foreground_latency.measure(units, removed, self.environment.turns)
        if latency_s is not None:
            self.copy_manager.copies.stepping_aside.note_latency(latency_s, self.environment.monotonic())

    def _report_no_room(self) -> None:
        """Log a warning if the pool has no room when the array starts."""
        status = self.pool.status()
        if status.no_room is not None:
            self._report_trouble(Trouble(TroubleKind.FULL if status.is_full else TroubleKind.NO_SEGMENT, status.no_room))

    def _report_trouble(self, trouble: Trouble) -> None:
        report_trouble(self.reporter, trouble, self.logical_units)

    def _report_internal_error(self, error: BaseException) -> None:
        cause = type(error), error.__traceback__ and error.__traceback__.tb_lineno
        self.reporter.report("error", "a command failed inside the array", cause=cause, error=repr(error), exc_info=error)

    async def _leave_nursery(self) -> None:
        self._nursery.cancel_scope.cancel()
        await self._nursery_manager.__aexit__(None, None, None)
