"""SIGHUP: each key of the configuration file is applied to an array that runs, or named as a key that needs a restart."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from odx_target.cli.serving.logging import configure_logging
from odx_target.cli.serving.reload import Reloader, Settings, keys_that_wait
from odx_target.copymgr.limits import TokenAccess
from odx_target.copymgr.refusal import Refusal
from odx_target.initiator import cdb
from odx_target.initiator.errors import ConnectionLost, LoginFailed
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, GroupTemplate, LunConfig, Portal, ServeConfig
from odx_target.target.config.settings_file import _KEYS, _SERVE_KEYS
from odx_target.target.personality.reading import find_personality
from odx_target.target.reconfiguration import CHANGES, changed_fields, key_of, reconfigure
from tests.target.access.sessions import LUNS_CHANGED, MODE_CHANGED, NEW_NEXUS, A, B, code, discovered, luns, session_of, write
from tests.target.running import LUNS, running

HERE = 'portal = "127.0.0.1:0"'
SECOND, THIRD = "iqn.2026-11.example:second", "iqn.2026-11.example:third"
NEED_A_RESTART = {
    "pool",
    "relative-target-port",
    "fault",
    "fault-seed",
    "personality",
    "capacity-tier",
    "trace",
    "pcap",
    "pcap-snap-length",
    "control",
    "metrics",
    "link-port",
    "path",
    "protect",
    "group",
    "clock",
    "record-commands",
    "record",
    "record-limit",
    "log-format",
    "ready-file",
    "http",
    "http-token-file",
}


class Reloaded:
    """An array, and its configuration file."""

    def __init__(self, array: Array, path: Path) -> None:
        self.array = array
        self._path = path
        self._reloader = Reloader(array, path, Settings(array.config, ServeConfig()))

    async def read(self, *lines: str) -> list[dict[str, object]]:
        """Reload a file with these lines, and return the log lines of level warning and above."""
        self._path.write_text("\n".join([HERE, *lines]))
        with capture_logs() as logs:
            await self._reloader.reload()
        return [dict(line) for line in logs if line["log_level"] in ("warning", "error")]


@asynccontextmanager
async def reloading(path: Path, config: Config | None = None) -> AsyncIterator[Reloaded]:
    async with running(config) as array:
        yield Reloaded(array, path / "array.toml")


def target(name: str, *lines: str) -> str:
    return "\n".join(["[[target]]", f'iqn = "{name}"', *lines])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_every_key_is_applied_or_needs_a_restart() -> None:
    applied = {key_of(name) for change in CHANGES for name in change.fields} | {"log-level"}
    assert not applied & NEED_A_RESTART
    assert applied | NEED_A_RESTART == set(_KEYS) | set(_SERVE_KEYS)
    names = [name for change in CHANGES for name in change.fields]
    assert len(names) == len(set(names)), "no field is applied twice"
    assert set(names) <= {each.name for each in fields(Config)}


def test_the_keys_that_need_a_restart_are_named() -> None:
    before = Config(luns=LUNS)
    lun = LunConfig("x", 1 << 20)
    array = replace(before, luns=(lun,), capacity_tier=Path("tier"), pool_dir=Path("x"), log_level="debug")
    group = GroupTemplate("g", ("x",), "berlin", "hamburg")
    serve = ServeConfig(metrics=Portal(port=9999), pcap_snap_bytes=96, groups=(group,))
    assert keys_that_wait(Settings(before, ServeConfig()), Settings(array, serve)) == [
        "pool",
        "capacity-tier",
        "pcap-snap-length",
        "metrics",
        "group",
    ]
    assert changed_fields(before, before) == []


async def test_a_changed_personality_has_no_effect_on_a_running_array() -> None:
    async with running(Config(luns=LUNS, personality=find_personality("small-tokens"))) as array:
        after = replace(array.config, personality=find_personality("ctl"), accept_zero_token=False)
        await reconfigure(array, array.config, after)
        copies = array.copy_manager.copies
        assert not copies.options.zero_token_accepted
        assert copies.limits == find_personality("small-tokens").copy_limits
        assert array.config.personality.name == "small-tokens"


async def test_a_target_is_added_and_removed(tmp_path: Path) -> None:
    async with reloading(tmp_path) as array, session_of(array.array, A) as first:
        name, portal = array.array.config.iqn, array.array.portals[0]
        assert await array.read(target(SECOND), target(THIRD)) == []
        assert list(await discovered(array.array, A)) == [name, SECOND, THIRD]
        async with session_of(array.array, A, SECOND) as second, session_of(array.array, A, THIRD) as third:
            assert await luns(second) == await luns(third) == [0, 1]
            pages = [
                bytes((await each.execute(0, cdb.inquiry(252, 0x83), data_in_bytes=252)).data_in) for each in (first, third)
            ]
            assert pages[0] != pages[1], "each target has a port of its own"
            assert await array.read(target(THIRD)) == []
            with pytest.raises(ConnectionLost):
                await code(second, 0)
            assert [await code(first, 0), await code(third, 0)] == ["good", "good"], "the other sessions continue"
        with pytest.raises(LoginFailed):
            async with session_of(array.array, A, SECOND):
                pass
        assert list(await discovered(array.array, A)) == [name, THIRD]
        assert array.array.portals == (portal,)


async def test_a_target_that_comes_again_has_its_new_rules(tmp_path: Path) -> None:
    rule = f'[[target.access]]\ninitiator = "{B}"\nluns = [{{ lun = 5, volume = "second" }}]'
    async with reloading(tmp_path) as array:
        await array.read(target(SECOND))
        await array.read()
        await array.read(target(SECOND, rule))
        async with session_of(array.array, B, SECOND) as session:
            assert await luns(session) == [5]
        assert list(await discovered(array.array, A)) == [array.array.config.iqn]
        ports = [each.relative_target_port for each in array.array.targets]
        assert ports == [1, 2]


async def test_a_new_target_never_has_the_port_of_a_former_one(tmp_path: Path) -> None:
    """Otherwise, its hosts would have the persistent registrations of the former target."""
    async with reloading(tmp_path) as array:
        numbers = {}
        for lines in ([target(SECOND)], [target(THIRD)], [target(THIRD), target(SECOND)]):
            assert await array.read(*lines) == []
            numbers |= {each.name: each.relative_target_port for each in array.array.targets}
            assert sorted(numbers.values()) == sorted(set(numbers.values()))
        assert [numbers[SECOND], numbers[THIRD]] == [2, 3]


async def test_a_lun_that_is_added_later_appears_in_a_later_target(tmp_path: Path) -> None:
    rule = f'[[target.access]]\ninitiator = "{A}"\nluns = [{{ lun = 3, volume = "later" }}]'
    lun = '[[lun]]\nname = "later"\nsize = "1M"'
    async with reloading(tmp_path) as array:
        (warning,) = await array.read(target(SECOND, rule))
        assert warning["volume"] == "later"
        async with session_of(array.array, A, SECOND) as session:
            assert await luns(session) == []
            assert await array.read(lun, target(SECOND, rule)) == []
            assert await luns(session) == [3]


async def test_the_name_of_the_first_target_changes(tmp_path: Path) -> None:
    async with reloading(tmp_path) as array, session_of(array.array, A) as session:
        assert await array.read(f'iqn = "{SECOND}"') == []
        with pytest.raises(ConnectionLost):
            await code(session, 0)
        assert list(await discovered(array.array, A)) == [SECOND]
        assert array.array.config.iqn == SECOND


async def test_portals_come_and_go_and_sessions_stay(tmp_path: Path) -> None:
    port = free_port()
    async with reloading(tmp_path) as array, session_of(array.array, A) as session:
        common = array.array.portals[0]
        assert await array.read(target(SECOND, f'portal = "127.0.0.1:{port}"')) == []
        assert array.array.portals == (common, Portal("127.0.0.1", port))
        async with session_of(array.array, A, SECOND, Portal("127.0.0.1", port)) as second:
            assert await array.read(target(SECOND)) == []
            assert array.array.portals == (common,)
            with pytest.raises(OSError, match=r"127\.0\.0\.1"), socket.create_connection(("127.0.0.1", port), 1):
                raise OSError(errno.EADDRINUSE, "still open at 127.0.0.1")
            assert [await code(second, 0), await code(session, 0)] == ["good", "good"]
            assert set(await discovered(array.array, A)) == {array.array.config.iqn, SECOND}
        assert await array.read(target(SECOND, f'portal = "127.0.0.1:{port}"')) == [], "the port is free again"


async def test_a_portal_that_cannot_be_bound_changes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with reloading(tmp_path) as array, session_of(array.array, A) as session:
            rate = 'copy-rate = "1M"'
            (error,) = await array.read(rate, target(SECOND, f'portal = "127.0.0.1:{port}"'))
            assert str(port) in str(error["reason"])
            assert list(await discovered(array.array, A)) == [array.array.config.iqn]
            assert array.array.copy_manager.copies.copy_rate.bytes_per_s is None
            assert await code(session, 0) == "good"
            assert await array.read(rate, target(SECOND)) == []
            assert array.array.copy_manager.copies.copy_rate.bytes_per_s == 1 << 20


async def test_portals_take_descriptors_of_connections(tmp_path: Path) -> None:
    async with running(max_sockets=9) as array:
        reloaded = Reloaded(array, tmp_path / "array.toml")
        ports = [free_port(), free_port()]
        one, both = (", ".join(f'"127.0.0.1:{port}"' for port in ports[:count]) for count in (1, 2))
        assert await reloaded.read(target(SECOND, f"portal = [{one}]")) == []
        (error,) = await reloaded.read(target(SECOND, f"portal = [{both}]"))
        assert "file descriptors" in str(error["reason"])
        assert len(array.portals) == 2
        assert await reloaded.read(target(SECOND)) == []
        assert await reloaded.read(target(SECOND, f"portal = [{one}]")) == [], "the descriptor was given back"


async def test_the_limit_of_sessions_is_for_later_logins(tmp_path: Path) -> None:
    async with reloading(tmp_path) as array, session_of(array.array, A) as a:
        await array.read("max-sessions = 1")
        with pytest.raises(LoginFailed, match="03h/02h"):
            async with session_of(array.array, B):
                pass
        assert await code(a, 0) == "good"
        await array.read()
        async with session_of(array.array, B) as b:
            assert await luns(b) == [0, 1]


async def test_options_of_copies_are_for_later_commands(tmp_path: Path) -> None:
    async with reloading(tmp_path) as array:
        copies = array.array.copy_manager.copies
        flags = ("report-token-causes = false", "accept-zero-token = false", "strict-list-identifiers = true")
        times = ("copy-budget = 1.5", "step-aside-latency = 0.25", "step-aside-copies = 1")
        await array.read('token-access = "creator"', *flags, *times)
        assert copies.options.token_access is TokenAccess.CREATOR
        assert (copies.options.token_causes_reported, copies.options.zero_token_accepted) == (False, False)
        assert (copies.judge.options, copies.options.lenient_lookup) == (copies.options, False)
        assert copies.limits.command_budget_s == 1.5
        copies.stepping_aside.require_calm(0, 0.0)
        with pytest.raises(Refusal):
            copies.stepping_aside.require_calm(1, 0.0)
        await array.read()
        assert copies.options.token_access is TokenAccess.ANYONE
        copies.stepping_aside.require_calm(1000, 100.0)


async def test_remote_luns_change(tmp_path: Path) -> None:
    async with reloading(tmp_path) as array:
        first, second = array.array.logical_units[0], array.array.logical_units[1]
        remote = array.array.copy_manager.copies.remote_logical_units
        await array.read('remote-luns = ["first"]')
        assert remote == {first}
        (error,) = await array.read('remote-luns = ["second", "stranger"]')
        assert (error["keys"], remote) == (["remote-luns"], {first})
        await array.read('remote-luns = ["second"]')
        assert remote == {second}


async def test_soft_thresholds_are_notified_unless_a_host_has_set_others(tmp_path: Path) -> None:
    config = Config(luns=LUNS, pool_limit_bytes=1 << 30)
    async with reloading(tmp_path, config) as array, session_of(array.array, A) as a:
        unit, other = array.array.logical_units[0], array.array.logical_units[1]
        own = tuple(replace(each, count=each.count + 1) for each in other.thresholds.thresholds)
        other.thresholds.set(own)
        await array.read('pool-limit = "1G"', "soft-thresholds = [50]")
        assert [each.is_enabled for each in unit.thresholds.thresholds] == [True, False, False, False]
        assert [await code(a, 0), await code(a, 1), await code(a, 0)] == [MODE_CHANGED, "good", "good"]
        assert other.thresholds.thresholds == own
        assert other.default_mode_parameters.thresholds == unit.thresholds.thresholds


async def test_schedules_are_added(tmp_path: Path) -> None:
    async with reloading(tmp_path) as array:
        assert await array.read('[[schedule]]\nname = "nightly"\nevery = "daily"\nvolumes = ["first"]') == []
        assert list(array.array.schedules.book.schedules) == ["nightly"]


async def test_luns_are_added_and_get_their_choices(tmp_path: Path) -> None:
    async with reloading(tmp_path) as array, session_of(array.array, A) as a:
        lun = '[[lun]]\nname = "third"\nsize = "1M"'
        assert await array.read(lun) == []
        assert [await code(a, 0), await code(a, 2)] == [LUNS_CHANGED, NEW_NEXUS]
        assert await write(a, 2) == "good"
        assert await array.read(lun + '\ncompression = "lz4"') == []
        assert array.array.pool.volumes["third"].attributes["compression"] == "lz4"
        (error,) = await array.read(lun + "\nblock = 4096")
        assert (error["lun"], "block length" in str(error["reason"])) == ("third", True)


@pytest.mark.parametrize("polling", [True, False])
async def test_polling_changes(tmp_path: Path, polling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: {0, 1})
    async with reloading(tmp_path, Config(luns=LUNS, polling=not polling)) as array:
        await array.read(f"polling = {str(polling).lower()}")
        assert array.array._listener._hub.polls is polling


async def test_the_log_level_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running() as array:
        configure_logging("info")
        path = tmp_path / "array.toml"
        path.write_text(f'{HERE}\nlog-level = "error"\ncapacity-tier = "one"\n')
        await Reloader(array, path).reload()
        assert "capacity-tier" not in capsys.readouterr().err
        path.write_text(HERE)
        await Reloader(array, path, Settings(replace(array.config, log_level="error"), ServeConfig())).reload()
        path.write_text(f'{HERE}\ncapacity-tier = "two"\n')
        await Reloader(array, path).reload()
        assert "capacity-tier" in capsys.readouterr().err


async def test_options_of_the_pool_change(tmp_path: Path) -> None:
    async with reloading(tmp_path) as array, session_of(array.array, A) as session:
        pool, budget = array.array.pool, array.array.memory_budget
        before = budget.read.size_bytes
        lines = ('pool-limit = "1G"', "cleaning = false", "cleaning-share = 50", 'map-memory = "64M"', 'memory-limit = "1G"')
        assert await array.read(*lines, 'capacity-limit = "1G"', 'capacity-compression = "lz4"') == []
        assert pool.status().limit_bytes == 1 << 30
        assert budget.read.size_bytes > before
        assert array.array.config.cleaning_share == 0.5
        assert [await write(session, 0) for _ in range(2)] == [MODE_CHANGED, "good"], "the thresholds are shares of the room"
        (error,) = await array.read('pool-limit = "64M"')
        assert error["keys"] == [
            "pool-limit",
            "capacity-limit",
            "capacity-compression",
            "cleaning",
            "cleaning-share",
            "map-memory",
        ]
        assert "at least 134217728 bytes until it is opened again" in str(error["reason"])
        assert pool.status().limit_bytes == 1 << 30, "all of them or none"
        assert await array.read() == []
        assert pool.status().limit_bytes is None
        assert budget.read.size_bytes == before


async def test_thresholds_follow_the_limit_of_the_pool(tmp_path: Path) -> None:
    async with reloading(tmp_path) as array, session_of(array.array, A) as session:
        unit = array.array.logical_units[0]
        assert await array.read('pool-limit = "1G"') == []
        assert await code(session, 0) == MODE_CHANGED
        lower = unit.thresholds.thresholds
        assert await array.read('pool-limit = "2G"') == []
        assert await code(session, 0) == MODE_CHANGED
        assert unit.thresholds.thresholds != lower
