"""Schedules of a pool under jumps of the clock and restarts, compared with a naive calendar and naive lists."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from odx_target.store.api import Held
from odx_target.target.schedules.calendar import minute_of, moment_text
from odx_target.target.schedules.runner import GIVEN_UP, INTERNAL, MISSED, NOT_STORED, NOT_TIDIED, POLL_S
from odx_target.target.schedules.schedule import Schedule
from tests.settings import searching
from tests.target.schedules.naive_calendar import is_moment
from tests.target.schedules.shop import Shop

MAX_VOLUMES = 3
HOUR = 3600.0
FIELDS: tuple[dict[str, Any], ...] = (
    {"every": "hourly", "keep": 3},
    {"every": "hourly", "at": [15, 45], "keep": 2},
    {"every": "daily", "at": ["00:00", "12:30"], "keep": 2},
    {"every": "weekly", "at": ["00:10"], "days": ["sun", "mon", "wed"], "keep": 1},
)


@dataclass
class NaiveSchedule:
    schedule: Schedule
    seen: int
    """Minute up to which all moments have been looked at."""
    ran: set[int] = field(default_factory=set)
    missed: int = 0


class ScheduleMachine(RuleBasedStateMachine):
    """The model looks at each single minute. It knows the snapshots of each volume in the order in which they were made."""

    schedules = Bundle("schedules")

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop()
        self.model: dict[str, NaiveSchedule] = {}
        self.snapshots: dict[str, list[tuple[str, str]]] = {}
        """(name, identifier of the schedule) of each snapshot, by volume."""
        self.held: set[tuple[str, str]] = set()
        self.plans: dict[str, list[str]] = {}
        self.count = 0

    @rule()
    def add_volume(self) -> None:
        if len(self.snapshots) < MAX_VOLUMES:
            self.count += 1
            self.shop.volume(f"v{self.count}")
            self.snapshots[f"v{self.count}"] = []

    @rule(target=schedules, fields=st.sampled_from(FIELDS), default=st.booleans())
    def add_schedule(self, fields: dict[str, Any], default: bool) -> str:
        self.count += 1
        default = default and sum(each.schedule.is_default for each in self.model.values()) < 3
        schedule = self.shop.add(f"s{self.count}", **fields, default=default)
        self.model[schedule.name] = NaiveSchedule(schedule, minute_of(self.shop.time_s))
        return schedule.name

    @rule(name=consumes(schedules))
    def remove_schedule(self, name: str) -> None:
        self.shop.book.remove(name)
        self.shop.keep()
        del self.model[name]

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data(), names=st.lists(schedules, max_size=3, unique=True))
    def assign(self, data: st.DataObject, names: list[str]) -> None:
        volume = data.draw(st.sampled_from(sorted(self.snapshots)))
        self.shop.book.assign(self.shop.pool.volumes[volume], [self.model[name].schedule for name in names])
        self.shop.keep()
        self.plans[volume] = list(names)

    @rule(delay_s=st.integers(1, 3) | st.integers(60, int(HOUR)))
    def wait(self, delay_s: int) -> None:
        begin = minute_of(self.shop.time_s)
        self.shop.advance(delay_s)
        self.look(begin, minute_of(self.shop.time_s))

    @rule(delay_s=st.integers(-9 * 86400, 9 * 86400) | st.integers(-7200, 7200))
    def jump(self, delay_s: int) -> None:
        self.shop.jump(delay_s)
        self.shop.advance(2 * POLL_S)
        now = minute_of(self.shop.time_s)
        self.look(now, now)

    @rule(downtime_s=st.integers(0, 10) | st.integers(60, 9 * 86400), power_loss=st.booleans())
    def restart(self, downtime_s: int, power_loss: bool) -> None:
        self.shop.restart(downtime_s, power_loss=power_loss)
        self.shop.advance(2 * POLL_S)
        now = minute_of(self.shop.time_s)
        self.look(now, now)

    @precondition(lambda self: any(self.snapshots.values()))
    @rule(data=st.data(), what=st.sampled_from(["hold", "unhold", "delete"]))
    def touch_a_snapshot(self, data: st.DataObject, what: str) -> None:
        places = [(volume, name) for volume, found in self.snapshots.items() for name, _ in found]
        volume, name = place = data.draw(st.sampled_from(places))
        snapshot = self.shop.pool.volumes[volume].snapshots[name]
        if what == "hold":
            snapshot.hold("operator")
            self.held.add(place)
        elif what == "unhold" and place in self.held:
            snapshot.unhold("operator")
            self.held.discard(place)
        elif what == "delete" and place in self.held:
            with pytest.raises(Held):
                snapshot.delete()
        elif what == "delete":
            snapshot.delete()
            self.snapshots[volume] = [each for each in self.snapshots[volume] if each[0] != name]
        self.shop.keep()

    def look(self, begin: int, end: int) -> None:
        """Look at the clock of the model at `begin` and at each minute up to `end`."""
        for naive in self.model.values():
            calendar = naive.schedule.calendar
            if begin < naive.seen:
                naive.seen = begin
            for now in (begin, *(minute for minute in range(begin + 1, end + 1) if is_moment(calendar, minute))):
                # the naive form of "the moments since the last look that have not run"
                passed = [minute for minute in range(naive.seen + 1, now + 1) if is_moment(calendar, minute)]
                new = [minute for minute in passed if minute not in naive.ran]
                naive.seen = now
                if passed and new and passed[-1] == new[-1]:
                    naive.ran.add(new[-1])
                    self.take(naive.schedule, new[-1])
                    naive.missed += len(new) - 1
                else:
                    naive.missed += len(new)

    def take(self, schedule: Schedule, minute: int) -> None:
        name = f"{schedule.name}-{moment_text(minute)}"
        for volume, found in self.snapshots.items():
            own = [each for each in self.plans.get(volume, ()) if each in self.model]
            has_plan = self.plans.get(volume) == [] or bool(own)
            applies = schedule.name in own if has_plan else schedule.is_default
            if applies and name not in (each for each, _ in found):
                found.append((name, schedule.identifier))

    @invariant()
    def the_same_snapshots_are_there(self) -> None:
        self.shop.environment.run(self.shop.runner._tidy(list(self.shop.book.schedules.values())))
        self.shop.keep()
        for volume, found in self.snapshots.items():
            for naive in self.model.values():
                made = [each for each in found if each[1] == naive.schedule.identifier]
                keep = naive.schedule.retention.count
                assert keep is not None
                for each in made[:-keep]:
                    if (volume, each[0]) not in self.held:
                        found.remove(each)
            present = self.shop.snapshots(volume)
            assert set(present) == {name for name, _ in found}
            for naive in self.model.values():
                names = [name for name, identifier in found if identifier == naive.schedule.identifier]
                assert [each for each in present if each in names] == names, "they were made in this order"

    @invariant()
    def nothing_went_wrong(self) -> None:
        told = {event for event, _ in self.shop.reports}
        assert not told & {INTERNAL, GIVEN_UP, NOT_STORED, NOT_TIDIED}

    @invariant()
    def missed_moments_are_counted_once(self) -> None:
        for name, naive in self.model.items():
            state = self.shop.book.states[naive.schedule.identifier]
            late = sum(fields["missed"] for fields in self.shop.told(MISSED) if fields["schedule"] == name)
            assert naive.missed <= state.missed <= naive.missed + late


TestScheduleMachine = ScheduleMachine.TestCase
TestScheduleMachine.settings = searching(30, steps=20)
