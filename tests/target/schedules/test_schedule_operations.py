"""Operations on the schedules of a running array, its configuration, and the life of schedules over restarts."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from odx_target.cli.serving.serve import open_pool
from odx_target.store.api import PoolBusy
from odx_target.target import array as array_module
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal, ScheduleTemplate
from odx_target.target.config.settings_file import load_config
from odx_target.target.control.operations import ManagementError, perform
from odx_target.target.schedules import runner
from tests.target.running import LUNS, running
from tests.target.schedules.shop import BEGIN_S

HOUR = 3600.0


@pytest.fixture(autouse=True)
def rare_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the array work every five seconds instead of every second in the hours that these tests let pass."""
    monkeypatch.setattr(array_module, "UPKEEP_INTERVAL_S", 5.0)
    monkeypatch.setattr(runner, "POLL_S", 5.0)


async def do(array: Array, operation: str, **arguments: object) -> Any:
    answer = await perform(array, operation, arguments)
    assert json.loads(json.dumps(answer)) == answer
    return answer


async def refused(array: Array, operation: str, **arguments: object) -> str:
    with pytest.raises(ManagementError) as caught:
        await perform(array, operation, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def serving(config: Config) -> Array:
    """Return an array whose wall clock begins at BEGIN_S and moves with the clock of trio."""
    begin_s = trio.current_time()
    return Array(
        replace(config, portals=(Portal(port=0),)),
        open_pool=open_pool,
        wall_clock=lambda: BEGIN_S + trio.current_time() - begin_s,
    )


async def test_a_schedule_is_added_runs_and_is_removed(autojump_clock: MockClock) -> None:
    async with serving(Config(luns=LUNS)) as array:
        row = await do(array, "schedule-add", name="hourly", fields={"every": "hourly", "keep": 2, "default": True})
        assert (row["next_s"], row["volumes"], row["last_run"]) == (BEGIN_S + HOUR, 2, None)
        await trio.sleep(3 * HOUR + 5)
        names = [f"hourly-2026-11-29T{hour}:00Z" for hour in (14, 15)]
        snapshots = (await do(array, "snapshots", volume="first"))["snapshots"]
        assert [each["name"] for each in snapshots] == names
        assert {each["group"] for each in (await do(array, "snapshots"))["snapshots"]} == {each["group"] for each in snapshots}
        assert len({each["group"] for each in snapshots}) == 2
        await do(array, "snapshot-hold", snapshot=f"first@{names[0]}", owner="backup")
        await trio.sleep(HOUR)
        shown = await do(array, "schedule-show", name="hourly")
        assert shown["volume_names"] == ["first", "second"]
        assert [(each["name"], each["reason"]) for each in shown["kept"]] == [(names[0], "held by backup")]
        assert (shown["last_run"]["moment"], shown["last_run"]["snapshots"]) == ("2026-11-29T16:00Z", 2)
        assert (await do(array, "schedules"))["schedules"][0]["missed"] == 0
        await do(array, "schedule-remove", name="hourly")
        await trio.sleep(HOUR)
        assert len((await do(array, "snapshots"))["snapshots"]) == 5


async def test_a_schedule_runs_at_once_with_its_commands() -> None:
    async with running() as array:
        mark = {"every": "daily", "before": f"{sys.executable} -c pass"}
        await do(array, "schedule-add", name="daily", fields=mark, volumes=["second"])
        made = await do(array, "schedule-run", name="daily")
        (snapshot,) = made["snapshots"]
        assert (snapshot["volume"], snapshot["attributes"]["consistency"], made["problem"]) == ("second", "application", "")
        await do(array, "schedule-change", name="daily", fields={"before": "false", "on_failure": "skip"})
        assert await refused(array, "schedule-run", name="daily") == "no snapshot was taken: false: exit code 1"


async def test_the_command_after_the_snapshots_is_run_if_the_operation_is_cancelled(tmp_path: Path) -> None:
    """The array cancels its operations and runs when it stops."""
    text = "import sys, time; open(sys.argv[1], 'w').write('x'); time.sleep(int(sys.argv[2]))"
    (tmp_path / "command").write_text(text)
    before, after = (f"{sys.executable} {tmp_path / 'command'} {tmp_path / name}" for name in ("before", "after"))
    async with running() as array:
        fields = {"every": "daily", "before": f"{before} 600", "after": f"{after} 0", "timeout_s": 600}
        await do(array, "schedule-add", name="s", fields=fields, volumes=["first"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: perform(array, "schedule-run", {"name": "s"}))
            while not (tmp_path / "before").exists():
                await trio.sleep(0.01)
            assert not (tmp_path / "after").exists()
            nursery.cancel_scope.cancel()
        assert (tmp_path / "after").exists()
        assert not array.pool.snapshots


async def test_a_snapshot_between_two_commands(tmp_path: Path) -> None:
    async with running() as array:
        for name in ("before", "after"):
            text = f"import os; open({str(tmp_path / 'ran')!r}, 'a').write({name!r} + os.environ['ODX_VOLUMES'])"
            (tmp_path / name).write_text(text)
        before, after = (f"{sys.executable} {tmp_path / name}" for name in ("before", "after"))
        both = {"snapshots": ["first@a", "second@a"], "before": before, "after": after}
        made = await do(array, "snapshot-create", **both, attributes={"why": "test"})
        assert made["problem"] == ""
        assert [each["attributes"]["consistency"] for each in made["snapshots"]] == ["application"] * 2
        assert made["snapshots"][0]["group"] == made["snapshots"][1]["group"] is not None
        assert (tmp_path / "ran").read_text() == "beforefirst secondafterfirst second"
        assert "already" in await refused(array, "snapshot-create", **both)
        failing = {"snapshots": ["first@b"], "before": "false", "after": after}
        assert await refused(array, "snapshot-create", **failing) == "no snapshot was taken: false: exit code 1"
        assert (tmp_path / "ran").read_text().endswith("afterfirst"), "the command after the snapshots is run nevertheless"
        made = await do(array, "snapshot-create", **failing, on_failure="crash-consistent")
        assert (made["snapshots"][0]["attributes"]["consistency"], made["problem"]) == ("crash", "false: exit code 1")
        assert await refused(array, "snapshot-create", snapshots=["first@c"], after="false")
        assert sorted(array.pool.volumes["first"].snapshots) == ["a", "b"]
        for wrong in ({"timeout_s": 0}, {"before": 1}, {"on_failure": "panic"}, {"after": "a\nb"}):
            assert await refused(array, "snapshot-create", snapshots=["first@d"], **wrong)


async def test_a_change_makes_no_past_moment_due(autojump_clock: MockClock) -> None:
    async with serving(Config(luns=LUNS)) as array:
        await do(
            array, "schedule-add", name="s", fields={"every": "daily", "at": ["13:00"], "enabled": False}, volumes=["first"]
        )
        await trio.sleep(2 * HOUR)
        await do(array, "schedule-change", name="s", fields={"enabled": True})
        await trio.sleep(60)
        row = await do(array, "schedule-change", name="s", fields={"every": "hourly", "at": [59]})
        assert row["next_s"] == BEGIN_S + 2 * HOUR + 59 * 60
        await trio.sleep(60)
        assert (await do(array, "snapshots"))["snapshots"] == []
        await trio.sleep(HOUR)
        assert len((await do(array, "snapshots"))["snapshots"]) == 1


async def test_requests_that_are_refused() -> None:
    async with running() as array:
        for number in range(3):
            await do(array, "schedule-add", name=f"s{number}", fields={"every": "daily"}, volumes=["first"])
        await do(array, "schedule-add", name="unused", fields={"every": "daily"})
        for operation, arguments in [
            ("schedule-add", {"name": "s0", "fields": {"every": "daily"}}),
            ("schedule-add", {"name": "a b", "fields": {"every": "daily"}}),
            ("schedule-add", {"name": "s", "fields": {}}),
            ("schedule-add", {"name": "s", "fields": []}),
            ("schedule-add", {"name": "s", "fields": {"every": "daily"}, "volumes": ["third"]}),
            ("schedule-add", {"name": "s", "fields": {"every": "daily"}, "volumes": ["first"]}),
            ("schedule-add", {"name": "s", "fields": {"every": "daily"}, "volumes": "first"}),
            ("schedule-change", {"name": "s", "fields": {"keep": 1}}),
            ("schedule-change", {"name": "s0", "fields": {"keep": 0}}),
            ("schedule-remove", {"name": "s"}),
            ("schedule-run", {"name": "s"}),
            ("schedule-show", {"name": "s"}),
            ("schedule-run", {"name": "unused"}),
            ("schedule-assign", {"volume": "third"}),
            ("schedule-assign", {"volume": "first", "schedules": ["s"]}),
            ("schedule-assign", {"volume": "first", "schedules": [1]}),
            ("snapshot-create", {"snapshots": ["first@x"], "attributes": {"schedule": "1"}}),
        ]:
            assert await refused(array, operation, **arguments), (operation, arguments)  # type: ignore[arg-type]
        assert sorted(array.schedules.book.schedules) == ["s0", "s1", "s2", "unused"]


async def test_the_schedules_of_a_volume_go_with_it_and_a_clone_has_none_of_them() -> None:
    async with running() as array:
        await do(array, "schedule-add", name="s", fields={"every": "daily"}, volumes=["first"])
        made = await do(array, "schedule-run", name="s")
        clone = (await do(array, "clone", origin=made["snapshots"][0]["guid"], name="copy"))["volumes"][0]
        assert clone["name"] == "copy"
        assert "schedule" not in array.pool.volumes["copy"].attributes
        assert (await do(array, "schedule-show", name="s"))["volume_names"] == ["first"]
        assert (await do(array, "schedule-assign", volume="copy", schedules=["s"])) == {
            "volume": "copy",
            "schedules": ["s"],
            "is_default": False,
        }
        await do(array, "volume-delete", name="copy")
        assert len(array.schedules.book.plans) == len(array.pool.remembered_keys("schedules of volume: ")) == 1


async def test_the_configuration_adds_schedules_and_the_pool_remembers_them(tmp_path: Path, autojump_clock: MockClock) -> None:
    template = ScheduleTemplate("nightly", {"every": "daily", "at": ["13:30"], "keep": 3}, ("second",))
    config = Config(pool_dir=tmp_path / "pool", luns=LUNS, schedules=(template,))
    async with serving(config) as array:
        await trio.sleep(2 * HOUR)
        (snapshot,) = (await do(array, "snapshots"))["snapshots"]
        assert (snapshot["volume"], snapshot["name"]) == ("second", "nightly-2026-11-29T13:30Z")
        await do(array, "schedule-change", name="nightly", fields={"keep": 5})
    async with serving(config) as array:
        (row,) = (await do(array, "schedules"))["schedules"]
        assert (row["keep"], row["volumes"]) == (5, 1), "the pool's settings are kept"
        await trio.sleep(2 * HOUR)
        assert len((await do(array, "snapshots"))["snapshots"]) == 1, "a moment that has run does not run again"


async def test_a_template_for_an_unknown_volume_is_a_mistake() -> None:
    config = Config(luns=LUNS, schedules=(ScheduleTemplate("s", {"every": "daily"}, ("third",)),))
    with pytest.raises(ConfigError, match="third"):
        async with running(config):
            pass


async def test_a_failed_run_is_a_problem_of_the_health(autojump_clock: MockClock) -> None:
    async with serving(Config(luns=LUNS)) as array:
        fields = {"every": "hourly", "before": "/nowhere", "on_failure": "skip", "default": True}
        await do(array, "schedule-add", name="s", fields=fields)
        assert (await do(array, "health"))["is_well"]
        while not (health := await do(array, "health"))["schedules"]:
            await trio.sleep(60)
        assert not health["is_well"]
        assert health["schedules"] == [{"schedule": "s", "problem": "/nowhere: cannot be run: No such file or directory"}]


TOML = """
[[schedule]]
name = "hourly"
every = "hourly"
at = [0, 30]
keep-for = "2d"
default = true

[[schedule]]
name = "database"
every = "weekly"
at = ["02:00"]
days = ["sun"]
keep = 8
before = "freeze"
after = "thaw"
timeout = 10
on-failure = "skip"
volumes = ["a", "b"]
"""


def test_schedules_in_a_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    path.write_text(TOML)
    hourly, database = load_config(path).schedules
    assert (hourly.fields["keep_for_s"], hourly.volumes) == (172800, ())
    assert (database.fields["timeout_s"], database.volumes) == (10, ("a", "b"))


@pytest.mark.parametrize(
    "text",
    [
        "schedule = 1",
        '[[schedule]]\nname = "s"',
        '[[schedule]]\nevery = "daily"',
        '[[schedule]]\nname = "s"\nevery = "daily"\nkeep_for_s = 1',
        '[[schedule]]\nname = "s"\nevery = "daily"\nvolumes = "a"',
        '[[schedule]]\nname = "s"\nevery = "daily"\nat = 2020-01-01',
        '[[schedule]]\nname = "s"\nevery = "daily"\n[[schedule]]\nname = "s"\nevery = "daily"',
    ],
)
def test_mistakes_in_a_configuration_file_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "array.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("at", [0, 1])
async def test_a_schedule_that_is_removed_while_its_change_waits_for_room_stays_removed(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as array:
        await do(array, "schedule-add", name="s", fields={"every": "daily"}, volumes=["first"])
        book, pool = array.schedules.book, array.pool
        identifier, remember, calls = book.find("s").identifier, pool.remember, 0

        def busy_once(key: str, value: bytes, *, spare: bool = False) -> None:
            nonlocal calls
            calls += 1
            if calls == at + 1:
                book.remove("s")
                raise PoolBusy("the pool is making room")
            remember(key, value, spare=spare)

        monkeypatch.setattr(pool, "remember", busy_once)
        said = await refused(array, "schedule-change", name="s", fields={"enabled": False})
        assert said == "there is no schedule 's'"
        assert book.schedules == {}
        assert not any(identifier in key for key in pool.remembered_keys("schedule"))
