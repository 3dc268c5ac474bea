"""A pool on a simulated disk with schedules, under a virtual clock that can jump. No event loop is involved."""

from collections.abc import Callable, Mapping
from typing import Any

from odx_target.store.api import Volume
from odx_target.target.schedules.book import ScheduleBook, open_book
from odx_target.target.schedules.calendar import minute_of
from odx_target.target.schedules.fields import parse_schedule
from odx_target.target.schedules.runner import ScheduleRunner
from odx_target.target.schedules.schedule import Schedule
from tests.store.pools import Machine, when_ready

BEGIN_S = 1_795_953_600.0
"""2026-11-29T12:00Z, a Sunday."""


class NaiveCommands:
    """Commands that take some time, and fail if their text says so."""

    def __init__(self, shop: "Shop") -> None:
        self.ran: list[tuple[str, str, str]] = []
        self.duration_s = 0.0
        self.on_run: Callable[[str], None] = lambda _command: None
        self._shop = shop

    async def run(self, command: str, variables: Mapping[str, str], timeout_s: float) -> str:
        self.ran.append((command, variables["ODX_SNAPSHOT"], variables["ODX_VOLUMES"]))
        self.on_run(command)
        await self._shop.environment.sleep(min(self.duration_s, timeout_s))
        if self.duration_s > timeout_s:
            return f"{command}: took too long"
        return f"{command}: failed" if "fail" in command else ""

    async def run_to_its_end(self, command: str, variables: Mapping[str, str], timeout_s: float) -> str:
        return await self.run(command, variables, timeout_s)


class Shop:
    """A machine with a pool, its schedules and their runner."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.commands = NaiveCommands(self)
        self.jump_s = BEGIN_S - self.environment.time()
        self._start()

    @property
    def environment(self) -> Any:
        return self.machine.environment

    @property
    def pool(self) -> Any:
        return self.machine.pool

    @property
    def time_s(self) -> float:
        return float(self.environment.time())

    def _start(self) -> None:
        environment, real = self.environment, type(self.environment).time
        environment.time = lambda: real(environment) + self.jump_s
        self.book: ScheduleBook = environment.run(open_book(self.pool))
        self.runner = ScheduleRunner(self.book, environment, self._report, self._make_durable, self.commands)
        self._job = environment.spawn(self.runner.run())
        environment.settle()

    def restart(self, downtime_s: float, *, power_loss: bool = False) -> None:
        """End the process, and start a new one later."""
        now_s = self.environment.now_s
        self.environment.settle()
        if power_loss:
            self.machine.lose_power()
        else:
            self.machine.kill()
        self.environment.now_s = now_s + downtime_s
        self._start()

    def _report(self, level: str, event: str, /, *, cause: object = None, lines: int = 1, **fields: object) -> None:
        self.reports.append((event, fields))

    async def _make_durable(self) -> None:
        await self.pool.committed()
        await self.pool.flush()

    def keep(self) -> None:
        """Make all changes durable."""
        self.environment.run(self._make_durable())

    def told(self, event: str) -> list[dict[str, Any]]:
        return [fields for told, fields in self.reports if told == event]

    def add(self, name: str, **fields: Any) -> Schedule:
        schedule = parse_schedule(name, f"{name}-{len(self.book.schedules)}-{self.environment.now_s}", fields)
        seen = schedule.calendar.previous(minute_of(self.time_s))
        when_ready(self.environment, lambda: self.book.add(schedule, seen))
        self.keep()
        return schedule

    def volume(self, name: str) -> Volume:
        when_ready(self.environment, lambda: self.pool.create_volume(name, 8, {}) and None)
        self.keep()
        found: Volume = self.pool.volumes[name]
        return found

    def advance(self, delay_s: float) -> None:
        self.environment.advance(delay_s)

    def jump(self, delay_s: float) -> None:
        self.jump_s += delay_s

    def snapshots(self, volume: str) -> list[str]:
        """Return the names of the snapshots of a volume, in the order in which they were made."""
        found = self.pool.volumes[volume].snapshots.values()
        return [each.name for each in sorted(found, key=lambda each: each.identifier)]
