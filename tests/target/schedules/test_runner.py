"""The runner of schedules: groups, names, retries, commands, retention, and clocks that jump."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from odx_target.replica.snapshots.protection import KEPT_ATTRIBUTE
from odx_target.store.api import OverLimit, PoolBusy, PoolFull
from odx_target.target.schedules import runner as runner_module
from odx_target.target.schedules.runner import (
    COMMAND_FAILED,
    GIVEN_UP,
    JUMPED,
    KEPT,
    MAX_ATTEMPTS,
    MISSED,
    RETRIED,
    RETRY_S,
    TIDY_INTERVAL_S,
    WENT_BACK,
)
from odx_target.target.schedules.taking import MAX_GROUP_VOLUMES, Skipped
from tests.store.pools import when_ready
from tests.target.schedules.shop import Shop

HOUR, DAY = 3600.0, 86400.0


def test_snapshots_have_the_name_of_their_moment_and_one_group() -> None:
    shop = Shop()
    shop.volume("a"), shop.volume("b")
    shop.add("hourly", every="hourly", default=True)
    shop.advance(HOUR + 5)
    assert shop.snapshots("a") == shop.snapshots("b") == ["hourly-2026-11-29T13:00Z"]
    first, second = (shop.pool.volumes[name].snapshots["hourly-2026-11-29T13:00Z"] for name in "ab")
    assert first.group == second.group != bytes(16)
    assert first.created_s == second.created_s
    assert first.attributes["consistency"] == "crash"
    assert not shop.reports
    shop.advance(HOUR)
    assert shop.snapshots("a")[1:] == ["hourly-2026-11-29T14:00Z"]


def test_more_volumes_than_a_group_holds_make_several_groups() -> None:
    shop = Shop()
    for number in range(MAX_GROUP_VOLUMES + 1):
        shop.volume(f"v{number}")
    shop.add("hourly", every="hourly", default=True)
    shop.advance(HOUR + 5)
    groups = [snapshot.group for snapshot in shop.pool.snapshots.values()]
    assert len(groups) == MAX_GROUP_VOLUMES + 1
    assert groups.count(groups[0]) == MAX_GROUP_VOLUMES


def test_a_volume_has_its_own_schedules_the_default_ones_or_none() -> None:
    shop = Shop()
    own, default, none = shop.volume("own"), shop.volume("default"), shop.volume("none")
    hourly = shop.add("hourly", every="hourly", default=True)
    daily = shop.add("daily", every="daily", at=["13:00"])
    shop.book.assign(own, [daily])
    shop.book.assign(none, [])
    shop.advance(HOUR + 5)
    assert (shop.snapshots("own"), shop.snapshots("none")) == (["daily-2026-11-29T13:00Z"], [])
    assert shop.snapshots("default") == ["hourly-2026-11-29T13:00Z"]
    assert shop.book.schedules_of(default) == [hourly]
    shop.book.remove("daily")
    shop.keep()
    assert shop.book.schedules_of(own) == [hourly], "a volume whose schedules are all removed has the default ones"
    shop.restart(0)
    assert [each.name for each in shop.book.schedules_of(shop.pool.volumes["own"])] == ["hourly"]
    assert shop.book.schedules_of(shop.pool.volumes["none"]) == []


def test_limits_of_schedules() -> None:
    shop = Shop()
    volume = shop.volume("a")
    made = [shop.add(f"s{number}", every="daily", default=number < 3) for number in range(4)]
    shop.book.assign(volume, made[:3])
    with pytest.raises(OverLimit):
        shop.book.assign(volume, made)
    with pytest.raises(OverLimit):
        shop.add("s4", every="daily", default=True)
    for number in range(4, 256):
        shop.add(f"s{number}", every="daily")
    with pytest.raises(OverLimit):
        shop.add("s256", every="daily")


@pytest.mark.parametrize("power_loss", [False, True])
def test_missed_runs_are_told_and_made_up_for_once(power_loss: bool) -> None:
    shop = Shop()
    shop.volume("a")
    schedule = shop.add("hourly", every="hourly", default=True)
    shop.advance(HOUR + 5)
    shop.restart(5.5 * HOUR, power_loss=power_loss)
    shop.advance(5)
    assert shop.snapshots("a") == ["hourly-2026-11-29T13:00Z", "hourly-2026-11-29T18:00Z"]
    assert [fields["missed"] for fields in shop.told(MISSED)] == [5]
    assert shop.book.states[schedule.identifier].missed == 5
    shop.restart(10, power_loss=power_loss)
    shop.advance(5)
    assert len(shop.snapshots("a")) == 2
    assert len(shop.told(MISSED)) == 1


def test_a_clock_that_goes_back_runs_nothing_twice() -> None:
    shop = Shop()
    shop.volume("a")
    shop.add("hourly", every="hourly", default=True)
    shop.advance(2 * HOUR + 5)
    shop.jump(-1.5 * HOUR)
    shop.advance(2 * HOUR)
    assert shop.snapshots("a") == [f"hourly-2026-11-29T{hour}:00Z" for hour in (13, 14)]
    assert len(shop.told(WENT_BACK)) == 1
    shop.advance(HOUR)
    assert shop.snapshots("a")[2:] == ["hourly-2026-11-29T15:00Z"]


def test_a_moment_whose_snapshot_exists_already_makes_no_second() -> None:
    """The process ends after the snapshots, and before the progress is stored."""
    shop = Shop()
    shop.volume("a"), shop.volume("b")
    schedule = shop.add("hourly", every="hourly", default=True)
    shop.advance(HOUR + 5)
    state = shop.book.states[schedule.identifier]
    shop.book.set_state(schedule, type(state)(type(state.progress)(state.progress.seen - 60)))
    shop.pool.volumes["b"].snapshots["hourly-2026-11-29T13:00Z"].delete()
    shop.keep()
    shop.restart(60)
    shop.advance(5)
    assert shop.snapshots("a") == shop.snapshots("b") == ["hourly-2026-11-29T13:00Z"]


def test_a_full_pool_is_told_and_tried_again_a_limited_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    volume = shop.volume("a")
    schedule = shop.add("hourly", every="hourly", default=True)
    attempts: list[str] = []

    def refuse(name: str, *_: Any) -> None:
        attempts.append(name)
        raise PoolFull("the pool is full")

    real = volume.snapshot
    monkeypatch.setattr(volume, "snapshot", refuse)
    shop.advance(HOUR + 2.5 * RETRY_S)
    assert len(attempts) == len(shop.told(RETRIED)) == 3
    assert shop.runner.problem_of(schedule) == "the pool is full"
    monkeypatch.setattr(volume, "snapshot", real)
    shop.advance(RETRY_S)
    assert shop.snapshots("a") == ["hourly-2026-11-29T13:00Z"]
    assert shop.runner.problem_of(schedule) == ""
    assert not shop.told(MISSED), "a run that was tried again is not a missed run"
    attempts.clear()
    monkeypatch.setattr(volume, "snapshot", refuse)
    shop.advance(HOUR + RETRY_S)
    assert attempts == ["hourly-2026-11-29T14:00Z"] * MAX_ATTEMPTS
    assert [fields["moment"] for fields in shop.told(GIVEN_UP)] == ["2026-11-29T14:00Z"]
    assert shop.runner.problem_of(schedule) == "the pool is full"
    monkeypatch.setattr(volume, "snapshot", real)
    shop.advance(HOUR)
    assert shop.snapshots("a") == ["hourly-2026-11-29T13:00Z", "hourly-2026-11-29T15:00Z"]


def fill(shop: Shop, size_bytes: int) -> None:
    """Store values until the pool is full."""
    for _ in range(100_000):
        when_ready(shop.environment, partial(shop.pool.remember, "filler", bytes(size_bytes)))
        shop.pool.commit()


def test_a_pool_that_is_really_full_gets_its_snapshot_when_there_is_room() -> None:
    shop = Shop()
    volume = shop.volume("a")
    shop.add("hourly", every="hourly", default=True)
    shop.machine.disk.room_blocks = 1  # there is no room for another segment
    for size in (4000, 100, 0):
        with pytest.raises(PoolFull):
            fill(shop, size)
    shop.advance(HOUR + 5)
    assert len(shop.told(RETRIED)) == 1
    assert not volume.snapshots
    shop.machine.disk.room_blocks = None
    shop.advance(3 * RETRY_S)
    assert shop.snapshots("a") == ["hourly-2026-11-29T13:00Z"]
    shop.restart(0, power_loss=True)
    assert shop.snapshots("a") == ["hourly-2026-11-29T13:00Z"]


def test_a_fault_inside_ends_one_run_and_not_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    volume = shop.volume("a")
    shop.add("hourly", every="hourly", default=True)
    monkeypatch.setattr(volume, "snapshot", lambda *_: 1 // 0)
    shop.advance(HOUR + 5)
    monkeypatch.undo()
    shop.advance(HOUR)
    assert len(shop.told(runner_module.INTERNAL)) == 1
    assert shop.snapshots("a") == ["hourly-2026-11-29T14:00Z"]


@pytest.mark.parametrize(
    ("before", "after", "duration_s", "on_failure", "consistency"),
    [
        ("freeze", "thaw", 0, "skip", "application"),
        ("freeze", "thaw", 5, "skip", "application"),
        ("", "thaw", 0, "skip", "application"),
        ("freeze", "", 0, "crash-consistent", "application"),
        ("fail", "thaw", 0, "crash-consistent", "crash"),
        ("fail", "thaw", 0, "skip", None),
        ("freeze", "fail", 0, "crash-consistent", "crash"),
        ("freeze", "fail", 0, "skip", None),
        ("freeze", "thaw", 40, "crash-consistent", "crash"),
        ("freeze", "thaw", 40, "skip", None),
    ],
)
def test_commands_make_a_snapshot_application_consistent(
    before: str, after: str, duration_s: float, on_failure: str, consistency: str | None
) -> None:
    shop = Shop()
    shop.volume("a"), shop.volume("b")
    shop.add("hourly", every="hourly", default=True, before=before, after=after, on_failure=on_failure)
    shop.commands.duration_s = duration_s
    counts: list[int] = []
    shop.commands.on_run = lambda _: counts.append(len(shop.pool.snapshots))
    shop.advance(HOUR + 100)
    name = "hourly-2026-11-29T13:00Z"
    assert shop.commands.ran == [(command, name, "a b") for command in (before, after) if command]
    if before and after and consistency:
        assert counts == [0, 2], "the snapshots are taken between the commands"
    assert shop.snapshots("a") == shop.snapshots("b") == ([name] if consistency else [])
    for snapshot in shop.pool.snapshots.values():
        assert snapshot.attributes["consistency"] == consistency
    assert len(shop.told(COMMAND_FAILED)) == (consistency == "crash")
    assert len(shop.told(GIVEN_UP)) == (consistency is None)


@pytest.mark.parametrize("on_failure", ["skip", "crash-consistent"])
def test_snapshots_that_were_deleted_or_held_while_a_command_failed_do_not_hide_the_others(on_failure: str) -> None:
    shop = Shop()
    deleted, held, other = shop.volume("deleted"), shop.volume("held"), shop.volume("other")
    shop.add("hourly", every="hourly", default=True, after="fail", on_failure=on_failure)
    name = "hourly-2026-11-29T13:00Z"

    def interfere(_command: str) -> None:
        deleted.snapshots[name].delete()
        held.snapshots[name].hold("backup")

    shop.commands.on_run = interfere
    shop.advance(HOUR + 5)
    assert not deleted.snapshots
    assert held.snapshots[name].attributes["consistency"] == "crash"
    assert [each.attributes["consistency"] for each in other.snapshots.values()] == ["crash"] * (on_failure != "skip")
    told = shop.told(GIVEN_UP if on_failure == "skip" else COMMAND_FAILED)
    assert [fields["reason"].partition(";")[0] for fields in told] == ["fail: failed"]
    assert ("held" in told[0]["reason"]) == (on_failure == "skip"), "the operator learns that a snapshot is kept"
    assert not shop.told(RETRIED)


@pytest.mark.parametrize("on_failure", ["skip", "crash-consistent"])
def test_a_busy_pool_delays_the_end_of_a_failed_run_and_does_not_prevent_it(
    on_failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop()
    volumes = [shop.volume(name) for name in "ab"]
    shop.add("hourly", every="hourly", default=True, after="fail", on_failure=on_failure)
    refused: list[str] = []

    def refuse_once(change: Callable[..., None], *arguments: Any) -> None:
        if not refused:
            refused.append("once")
            raise PoolBusy("room is being made")
        change(*arguments)

    def make_busy(_command: str) -> None:
        for snapshot in shop.pool.snapshots.values():
            for method in ("delete", "change_attributes"):
                monkeypatch.setattr(snapshot, method, partial(refuse_once, getattr(snapshot, method)))

    shop.commands.on_run = make_busy
    shop.advance(HOUR + 5)
    assert refused
    found = [snapshot.attributes["consistency"] for volume in volumes for snapshot in volume.snapshots.values()]
    assert found == ([] if on_failure == "skip" else ["crash", "crash"])
    assert not shop.told(RETRIED)


def test_the_command_after_a_snapshot_is_run_although_the_array_stops() -> None:
    shop = Shop()
    shop.volume("a")
    shop.add("hourly", every="hourly", default=True, before="freeze", after="thaw")
    shop.commands.duration_s = 10
    shop.advance(HOUR + 5)
    assert [command for command, _, _ in shop.commands.ran] == ["freeze"]
    shop.commands.duration_s = 0
    shop.environment.stop()
    assert [command for command, _, _ in shop.commands.ran] == ["freeze", "thaw"]
    assert not shop.snapshots("a")


def test_a_slow_command_does_not_delay_other_schedules() -> None:
    shop = Shop()
    slow, quick = shop.volume("slow"), shop.volume("quick")
    shop.book.assign(slow, [shop.add("slow", every="hourly", before="freeze", timeout_s=600)])
    shop.book.assign(quick, [shop.add("quick", every="hourly")])
    shop.commands.duration_s = 300
    shop.advance(HOUR + 5)
    assert (len(shop.snapshots("slow")), len(shop.snapshots("quick"))) == (0, 1)
    shop.advance(300)
    assert len(shop.snapshots("slow")) == 1


def test_retention_by_count_deletes_only_own_snapshots_without_holds() -> None:
    shop = Shop()
    volume = shop.volume("a")
    shop.add("hourly", every="hourly", default=True, keep=2)
    volume.snapshot("hourly-2026-11-29T12:59Z", {})
    shop.advance(HOUR + 5)
    volume.snapshots["hourly-2026-11-29T13:00Z"].hold("backup")
    shop.advance(3 * HOUR)
    kept = ["hourly-2026-11-29T12:59Z", *(f"hourly-2026-11-29T{hour}:00Z" for hour in (13, 15, 16))]
    assert shop.snapshots("a") == kept
    (told,) = shop.told(KEPT)
    assert (told["first"], told["reason"]) == ("a@hourly-2026-11-29T13:00Z", "held by backup")
    volume.snapshots["hourly-2026-11-29T13:00Z"].unhold("backup")
    shop.advance(TIDY_INTERVAL_S)
    assert shop.snapshots("a") == [kept[0], *kept[2:]]


def test_no_retention_deletes_changes_that_a_reversal_has_kept() -> None:
    """An earlier version gave these snapshots the attributes of the last common snapshot, which a schedule may have made."""
    shop = Shop()
    volume = shop.volume("a")
    shop.add("hourly", every="hourly", default=True, keep=1)
    shop.advance(HOUR + 5)
    (made,) = volume.snapshots.values()
    volume.snapshot("diverged-before", {**made.attributes, KEPT_ATTRIBUTE: "diverged"})
    shop.advance(3 * HOUR)
    assert shop.snapshots("a") == ["diverged-before", "hourly-2026-11-29T16:00Z"]


def test_retention_by_age_keeps_the_newest_and_does_not_trust_a_clock_that_jumps() -> None:
    shop = Shop()
    shop.volume("a")
    schedule = shop.add("hourly", every="hourly", default=True, keep_for_s=int(3 * HOUR))
    shop.advance(6 * HOUR + 5)
    assert len(shop.snapshots("a")) == 4
    shop.jump(400 * DAY)
    shop.advance(5)
    assert len(shop.told(JUMPED)) == 1
    assert len(shop.snapshots("a")) == 5, "the missed runs are made up for, and nothing is deleted"
    shop.jump(-400 * DAY)
    shop.advance(HOUR)
    assert len(shop.snapshots("a")) == 6
    shop.advance(DAY)
    assert len(shop.snapshots("a")) == 5
    shop.book.remove("hourly")
    shop.advance(DAY)
    assert len(shop.snapshots("a")) == 5, "no schedule deletes the snapshots of a removed schedule"
    shop.book._store(schedule)
    shop.book.assign(shop.pool.volumes["a"], [])
    shop.advance(DAY)
    assert shop.snapshots("a")[1:] == ["hourly-2026-11-30T19:00Z"], "the newest stays, and one with a wrong time in the future"


def test_snapshots_of_a_deleted_volume_stay() -> None:
    shop = Shop()
    shop.volume("a")
    shop.add("hourly", every="hourly", default=True, keep=1)
    shop.advance(HOUR + 5)
    shop.pool.delete_volume("a")
    shop.volume("a")
    shop.advance(3 * HOUR)
    assert len(shop.pool.snapshots) == 2


def test_a_schedule_that_is_disabled_or_removed_does_not_run() -> None:
    shop = Shop()
    shop.volume("a")
    shop.add("off", every="hourly", default=True, enabled=False)
    shop.add("removed", every="hourly", default=True)
    shop.book.remove("removed")
    shop.advance(5 * HOUR)
    assert not shop.snapshots("a")


def test_a_stored_schedule_that_cannot_be_read_is_left_alone() -> None:
    shop = Shop()
    shop.pool.remember("schedule: later", b'{"every": "yearly"}')
    shop.pool.remember("schedule: torn", b"{")
    shop.keep()
    shop.restart(0)
    assert (shop.book.unreadable, shop.book.schedules) == (["later", "torn"], {})
    assert shop.pool.remembered("schedule: later")


def test_a_run_that_an_operator_starts_is_the_last_run_and_changes_no_planned_moment() -> None:
    shop = Shop()
    shop.volume("a")
    schedule = shop.add("hourly", every="hourly", default=True)
    shop.advance(600)
    taken = shop.environment.run(shop.runner.run_now(schedule))
    last = shop.book.states[schedule.identifier].last_run
    assert last is not None
    assert [f"hourly-{last.moment}"] == [each.name for each in taken.snapshots] == shop.snapshots("a")
    assert (last.snapshots, last.problem, last.ended_s) == (1, "", pytest.approx(shop.time_s, abs=1))
    shop.restart(0)
    assert shop.book.states[schedule.identifier].last_run == last
    shop.advance(HOUR - 600 + 5)
    assert shop.snapshots("a")[1:] == ["hourly-2026-11-29T13:00Z"]
    last = shop.book.states[schedule.identifier].last_run
    assert last is not None
    assert last.moment == "2026-11-29T13:00Z"


def test_a_run_that_an_operator_starts_and_that_takes_no_snapshot_is_the_last_run() -> None:
    shop = Shop()
    shop.volume("a")
    schedule = shop.add("app", every="hourly", default=True, before="fail", on_failure="skip")
    with pytest.raises(Skipped):
        shop.environment.run(shop.runner.run_now(schedule))
    last = shop.book.states[schedule.identifier].last_run
    assert last is not None
    assert (last.snapshots, last.problem) == (0, "fail: failed")
    shop.book.remove("app")
    shop.environment.run(shop.runner.run_now(schedule))
    assert schedule.identifier not in shop.book.states
