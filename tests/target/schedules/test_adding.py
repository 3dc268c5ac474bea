"""Schedules are added completely or not at all, although the pool is busy, full or dies between any two records."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from odx_target.store.api import OverLimit, PoolBusy, PoolFull, Volume
from odx_target.target.array import Array
from odx_target.target.config.settings import ScheduleTemplate
from odx_target.target.control.operations import perform
from odx_target.target.schedules.book import ScheduleBook
from odx_target.target.schedules.fields import parse_schedule
from odx_target.target.schedules.runner import ScheduleRunner
from odx_target.target.schedules.schedule import Schedule
from odx_target.target.schedules.templates import open_schedules
from tests.target.running import running
from tests.target.schedules.shop import Shop

RECORDS = 4
"""Number of records of a new schedule with two volumes: the schedule, its state, and the schedules of each volume."""

TEMPLATE = ScheduleTemplate("new", {"every": "daily"}, ("a", "b"))


def fail_once(monkeypatch: pytest.MonkeyPatch, pool: Any, at: int, error: Exception) -> None:
    """Make the pool refuse one record, the record with the number `at` from now on."""
    calls: list[str] = []
    remember = pool.remember

    def refuse(key: str, value: bytes, **options: bool) -> None:
        calls.append(key)
        if len(calls) == at + 1:
            raise error
        remember(key, value, **options)

    monkeypatch.setattr(pool, "remember", refuse)


def names_of(book: ScheduleBook, volumes: Sequence[Volume]) -> list[list[str]]:
    return [[each.name for each in book.schedules_of(volume)] for volume in volumes]


def new_schedule(identifier: str = "identifier") -> Schedule:
    return parse_schedule("new", identifier, {"every": "daily"})


def both(shop: Shop) -> list[Volume]:
    return [shop.pool.volumes[name] for name in "ab"]


class Killed(Exception):
    """The process is killed."""


def with_templates(shop: Shop, *templates: ScheduleTemplate) -> ScheduleRunner:
    return shop.environment.run(  # type: ignore[no-any-return]
        open_schedules(shop.pool, shop.environment, shop._report, shop._make_durable, templates)
    )


@pytest.mark.parametrize("at", range(RECORDS))
async def test_a_busy_pool_does_not_make_the_operation_fail(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array:
        fail_once(monkeypatch, array.pool, at, PoolBusy("room is being made"))
        row = await perform(array, "schedule-add", {"name": "s", "fields": {"every": "daily"}, "volumes": ["first", "second"]})
        assert row["volumes"] == 2
        assert await own_names(array) == [["s"], ["s"]]


async def own_names(array: Array) -> list[list[str]]:
    return names_of(array.schedules.book, list(array.pool.volumes.values()))


@pytest.mark.parametrize("at", range(RECORDS))
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_schedule_that_cannot_be_added_changes_nothing(at: int, is_killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    first, second = shop.volume("a"), shop.volume("b")
    former, default = shop.add("former", every="daily"), shop.add("default", every="daily", default=True)
    shop.book.assign(first, [former])
    shop.keep()
    fail_once(monkeypatch, shop.pool, at, PoolFull("the pool is full"))
    before = (dict(shop.book.schedules), dict(shop.book.states), dict(shop.book.plans))
    with pytest.raises(PoolFull):
        shop.book.add(new_schedule(), 0, [first, second])
    assert (shop.book.schedules, shop.book.states, shop.book.plans) == before
    if is_killed:
        shop.keep()
        shop.restart(0)
    volumes = [shop.pool.volumes[name] for name in "ab"]
    assert names_of(shop.book, volumes) == [["former"], ["default"]]
    shop.book.add(new_schedule(), 0, volumes)
    assert names_of(shop.book, volumes) == [["former", "new"], ["new"]]
    assert default.name in shop.book.schedules


@pytest.mark.parametrize("at", range(RECORDS))
@pytest.mark.parametrize("is_full", [False, True])
def test_no_schedule_applies_to_a_volume_without_schedules_although_an_addition_was_not_completed(
    at: int, is_full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The addition ends early because the pool is full, or because the process is killed between two batches."""
    shop = Shop()
    shop.add("default", every="daily", default=True)
    for name in "ab":
        shop.book.assign(shop.volume(name), [])
    shop.keep()
    for identifier in ("identifier", "another"):
        with monkeypatch.context() as patch:
            fail_once(patch, shop.pool, at, PoolFull("the pool is full") if is_full else Killed())
            with suppress(PoolFull, Killed):
                shop.book.add(new_schedule(identifier), 0, both(shop))
        if is_full:
            assert names_of(shop.book, both(shop)) == [[], []]
        shop.keep()
        shop.restart(0)
        assert names_of(shop.book, both(shop)) == [[], []]
        assert shop.environment.run(shop.book.count_volumes()) == {}


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_schedule_that_was_the_first_of_a_volume_is_removed(is_restarted: bool) -> None:
    """A volume whose own schedules were all removed has the default schedules."""
    shop = Shop()
    shop.add("default", every="daily", default=True)
    for name in "ab":
        shop.book.assign(shop.volume(name), [])

    def check(names: list[list[str]]) -> None:
        shop.keep()
        if is_restarted:
            shop.restart(0)
        assert names_of(shop.book, both(shop)) == names

    shop.book.add(new_schedule(), 0, both(shop))
    check([["new"], ["new"]])
    shop.book.add(parse_schedule("other", "other", {"every": "hourly"}), 0, both(shop)[1:])
    check([["new"], ["new", "other"]])
    shop.book.remove("new")
    check([["default"], ["other"]])
    shop.book.remove("other")
    check([["default"], ["default"]])


def test_the_assignments_of_a_deleted_volume_are_forgotten_although_their_schedule_was_not_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    volume = shop.volume("a")
    fail_once(monkeypatch, shop.pool, 1, PoolFull("the pool is full"))
    with suppress(PoolFull):
        shop.book.add(new_schedule(), 0, [volume])
    shop.book.forget_volume(volume)
    assert not shop.pool.remembered_keys("schedules of volume: ")


def test_a_volume_with_too_many_schedules_prevents_the_whole_change() -> None:
    shop = Shop()
    free, full = shop.volume("a"), shop.volume("b")
    shop.book.assign(full, [shop.add(f"s{number}", every="daily") for number in range(3)])
    with pytest.raises(OverLimit, match="'b' has 3 schedules already"):
        shop.book.add(new_schedule(), 0, [free, full])
    assert "new" not in shop.book.schedules
    assert names_of(shop.book, [free]) == [[]]


def test_a_template_for_a_volume_with_too_many_schedules_is_added_when_there_is_room() -> None:
    shop = Shop()
    full = shop.volume("a"), shop.volume("b")
    made = [shop.add(f"s{number}", every="daily") for number in range(3)]
    shop.book.assign(full[1], made)
    shop.keep()
    with capture_logs() as logs:
        book = with_templates(shop, TEMPLATE).book
    assert [entry["schedule"] for entry in logs if entry["log_level"] == "error"] == ["new"]
    assert "new" not in book.schedules
    assert names_of(book, full) == [[], ["s0", "s1", "s2"]]
    book.assign(full[1], made[:2])
    shop.keep()
    assert names_of(with_templates(shop, TEMPLATE).book, full) == [["new"], ["s0", "s1", "new"]]


@pytest.mark.parametrize("at", range(RECORDS))
def test_a_template_is_added_completely_although_the_pool_is_busy(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    volumes = shop.volume("a"), shop.volume("b")
    fail_once(monkeypatch, shop.pool, at, PoolBusy("room is being made"))
    with capture_logs() as logs:
        book = with_templates(shop, TEMPLATE).book
    assert not logs
    assert names_of(book, volumes) == [["new"], ["new"]]


@pytest.mark.parametrize("at", range(RECORDS))
def test_a_template_that_a_full_pool_refuses_is_added_completely_at_the_next_start(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop()
    shop.volume("a"), shop.volume("b")
    fail_once(monkeypatch, shop.pool, at, PoolFull("the pool is full"))
    with capture_logs() as logs:
        assert not with_templates(shop, TEMPLATE).book.schedules
    assert [entry["reason"] for entry in logs] == ["the pool is full"]
    shop.keep()
    shop.restart(0)
    book = with_templates(shop, TEMPLATE).book
    assert names_of(book, [shop.pool.volumes[name] for name in "ab"]) == [["new"], ["new"]]
