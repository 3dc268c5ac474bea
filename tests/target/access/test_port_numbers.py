"""The relative target ports of targets stay the same when the settings change, and registrations stay at their ports."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.cli.serving.serve import open_pool
from odx_target.scsi.limits import MAX_REGISTRATIONS
from odx_target.scsi.reservations.durable import keep
from odx_target.scsi.reservations.holders import NO_RESERVATIONS, NexusName, Reservations
from odx_target.store.api import PoolFull
from odx_target.target.access import target_changes
from odx_target.target.access.port_numbers import KEY_PREFIX, PortNumbers
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal, PortalGroupConfig, TargetConfig
from odx_target.target.config.settings_file import load_config
from odx_target.target.config.target_settings import PORTS_OF_A_TAG
from odx_target.target.listening_sockets import Listening, bind_portals
from odx_target.target.reconfiguration import fields_that_wait, reconfigure
from tests.scsi.memory_pool import MemoryPool
from tests.settings import searching
from tests.sim.virtual_environment import VirtualEnvironment
from tests.target.access.sessions import A, luns, session_of
from tests.target.running import LUNS

FIRST, SECOND, THIRD, FOURTH = (f"iqn.2026-11.example:{name}" for name in ("first", "second", "third", "fourth"))
ONE, TWO = Portal("127.0.0.1", 0), Portal("localhost", 0)
REGISTER_AT_ALL_PORTS = bytes.fromhex("5f 00 00 00 00 00 00 00 18 00")


def targets(*names: str, **numbers: int) -> list[TargetConfig]:
    return [TargetConfig(name, relative_target_port=numbers.get(name.rpartition(":")[2])) for name in names]


class Numbered:
    """A pool in memory that keeps the numbers of targets. `start` is a start of an array with these targets."""

    def __init__(self) -> None:
        self.pool = MemoryPool(VirtualEnvironment(), 16)

    def start(self, *names: str, **numbers: int) -> dict[str, int]:
        found = PortNumbers(self.pool, {}).numbers_at_start(targets(*names, **numbers))
        return {name: found[name] for name in names}

    def register(self, *relative_target_ports: int) -> None:
        """Register a host at these ports, on as many volumes as are needed."""
        for volume in range(8):
            ports = relative_target_ports[volume * MAX_REGISTRATIONS :][:MAX_REGISTRATIONS]
            names = {NexusName("iqn.2026-11.example:host,i,0x000000000001", port): 1 for port in ports}
            keep(self.pool, bytes((volume,)) * 16, NO_RESERVATIONS, Reservations(names, None, 0, True))


@pytest.fixture
def numbered() -> Numbered:
    return Numbered()


def test_the_targets_of_a_new_pool_are_numbered_in_the_order_of_the_file(numbered: Numbered) -> None:
    assert numbered.start(FIRST, SECOND, THIRD) == {FIRST: 1, SECOND: 2, THIRD: 3}


def test_targets_keep_their_numbers_at_other_positions(numbered: Numbered) -> None:
    numbered.start(FIRST, SECOND)
    assert numbered.start(THIRD, SECOND, FOURTH, FIRST) == {THIRD: 3, SECOND: 2, FOURTH: 4, FIRST: 1}


def test_a_target_that_comes_again_has_its_number(numbered: Numbered) -> None:
    numbered.start(FIRST, SECOND)
    assert numbered.start(FIRST, THIRD) == {FIRST: 1, THIRD: 3}
    assert numbered.start(SECOND, FIRST, THIRD) == {SECOND: 2, FIRST: 1, THIRD: 3}


def test_the_numbers_of_former_targets_are_used_only_if_there_are_no_others(numbered: Numbered) -> None:
    for number in range(1, PORTS_OF_A_TAG):
        numbered.pool.remember(f"{KEY_PREFIX}iqn.2026-11.example:{number}", number.to_bytes(2, "big"))
    assert numbered.start(FIRST) == {FIRST: PORTS_OF_A_TAG}
    numbered.register(1, PORTS_OF_A_TAG + 2)
    assert numbered.start(FIRST, SECOND) == {FIRST: PORTS_OF_A_TAG, SECOND: 3}, "1 and 2 have registrations"
    numbered.register(*range(1, PORTS_OF_A_TAG + 1))
    with pytest.raises(ConfigError, match="all 1024 relative target ports are used"):
        numbered.start(FIRST, SECOND, THIRD)
    assert numbered.start(FIRST, SECOND) == {FIRST: PORTS_OF_A_TAG, SECOND: 3}


def test_the_settings_state_a_number(numbered: Numbered) -> None:
    assert numbered.start(FIRST, SECOND, first=7) == {FIRST: 7, SECOND: 1}
    assert numbered.start(FIRST, SECOND, THIRD) == {FIRST: 7, SECOND: 1, THIRD: 2}, "without the key, it stays"
    assert numbered.start(FIRST, SECOND, THIRD, third=1) == {FIRST: 7, SECOND: 2, THIRD: 1}
    with pytest.raises(ConfigError, match=r"third cannot have 4, which .*:first has"):
        numbered.start(FIRST, THIRD, first=4, third=4)


def test_a_stated_number_never_moves_registrations(numbered: Numbered) -> None:
    numbered.start(FIRST, SECOND)
    numbered.register(PORTS_OF_A_TAG + 2)
    with pytest.raises(ConfigError, match=r"third cannot have 2, because .* name the port 2 of .*:second"):
        numbered.start(THIRD, third=2)
    with pytest.raises(ConfigError, match=r"second cannot have 9, because .* name the port 2 of .*:second"):
        numbered.start(FIRST, SECOND, second=9)
    assert numbered.start(FIRST, SECOND, first=9, second=2) == {FIRST: 9, SECOND: 2}
    numbered.register()
    assert numbered.start(THIRD, third=2) == {THIRD: 2}


def test_a_full_pool_starts_and_keeps_the_numbers_later(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PoolFull("no room")

    with monkeypatch.context() as patched:
        patched.setattr(numbered.pool, "remember", refuse)
        numbers = PortNumbers(numbered.pool, {})
        assert numbers.numbers_at_start(targets(FIRST, SECOND)) == {FIRST: 1, SECOND: 2}
        numbers.store_again()
        assert not numbered.pool.remembered_keys(KEY_PREFIX)
        assert numbers.numbers_for(targets(THIRD, SECOND)) == {FIRST: 1, SECOND: 2, THIRD: 3}, "a reload does not forget them"
    numbers.store_again()
    assert numbered.start(THIRD, SECOND) == {THIRD: 3, SECOND: 2}


names = st.lists(st.sampled_from([FIRST, SECOND, THIRD, FOURTH]), unique=True, min_size=1)


@given(st.lists(names, max_size=8))
@searching(100)
def test_no_number_ever_belongs_to_two_targets(starts: list[list[str]]) -> None:
    numbered, ever = Numbered(), dict[str, int]()
    for configured in starts:
        for name, number in numbered.start(*configured).items():
            assert ever.setdefault(name, number) == number
    assert len(set(ever.values())) == len(ever)


async def test_registrations_stay_at_their_targets_when_a_target_is_inserted(tmp_path: Path) -> None:
    config = Config(
        luns=LUNS,
        pool_dir=tmp_path / "pool",
        iqn=FIRST,
        portals=(ONE, TWO),
        portal_groups=(PortalGroupConfig(3, (TWO,)),),
        targets=(TargetConfig(SECOND),),
    )
    async with Array(config, open_pool=open_pool) as array, session_of(array, A, SECOND) as session:
        parameters = bytes(8) + (5).to_bytes(8, "big") + bytes.fromhex("00000000 01 000000")
        assert (await session.execute(0, REGISTER_AT_ALL_PORTS, parameters)).status == 0
        parameters = bytes(8) + (6).to_bytes(8, "big") + bytes.fromhex("00000000 05 000000")
        assert (await session.execute(1, REGISTER_AT_ALL_PORTS, parameters)).status == 0
        assert registered(array) == [[(SECOND, 1)], [(SECOND, 1), (FIRST, 1), (FIRST, 3), (SECOND, 3)]]
        before = registered(array)
    inserted = (TargetConfig(THIRD), *config.targets)
    groups = (PortalGroupConfig(2, (ONE,)), *config.portal_groups)
    async with Array(replace(config, targets=inserted), open_pool=open_pool) as array:
        assert registered(array) == before
    async with Array(replace(config, iqn=THIRD, targets=(TargetConfig(FOURTH), *config.targets)), open_pool=open_pool) as array:
        assert registered(array) == [before[0], [(SECOND, 1), (None, 0), (None, 0), (SECOND, 3)]], "the first is gone"
    async with Array(replace(config, targets=inserted, portal_groups=groups), open_pool=open_pool) as array:
        found = {port.name: port.relative_target_port for target in array.targets for port in target.ports.values()}
        assert found[f"{SECOND},t,0x0003"] == 2 * PORTS_OF_A_TAG + 2, "a portal group changes no number of another"


def registered(array: Array) -> list[list[tuple[str | None, int]]]:
    """Return for each LUN the target and the portal group tag of each registration, as the present ports have them."""
    ports = {port.relative_target_port: (target.name, tag) for target in array.targets for tag, port in target.ports.items()}
    units = [array.logical_units[lun].reservations.registrations for lun in (0, 1)]
    return [[ports.get(name.relative_target_port, (None, 0)) for name in unit] for unit in units]


async def test_a_target_that_a_reload_adds_has_its_number_after_the_restart(tmp_path: Path) -> None:
    config = Config(luns=LUNS, pool_dir=tmp_path / "pool", iqn=FIRST, portals=(ONE,))
    async with Array(config, open_pool=open_pool) as array:
        await reconfigure(array, config, replace(config, targets=(TargetConfig(SECOND),)))
        with pytest.raises(ConfigError, match=r"third cannot have 1, which .*:first has"):
            await reconfigure(array, config, replace(config, targets=(TargetConfig(THIRD, relative_target_port=1),)))
        assert [target.name for target in array.targets] == [FIRST, SECOND]
    after = replace(config, targets=(TargetConfig(THIRD), TargetConfig(SECOND)))
    async with Array(after, open_pool=open_pool) as array:
        assert [target.relative_target_port for target in array.targets] == [1, 3, 2]


async def test_a_reload_that_cannot_listen_keeps_no_numbers() -> None:
    config = Config(luns=LUNS, iqn=FIRST, portals=(ONE,))
    async with Array(config, open_pool=open_pool) as array:
        used = replace(ONE, port=array.portals[0].port)
        with pytest.raises(ConfigError, match="cannot listen there"):
            await reconfigure(array, config, replace(config, targets=(TargetConfig(SECOND, (used,)),)))
        assert array.pool.remembered_keys(KEY_PREFIX) == [KEY_PREFIX + FIRST]
        await reconfigure(array, config, replace(config, targets=(TargetConfig(THIRD),)))
        assert [target.relative_target_port for target in array.targets] == [1, 2]


async def test_a_reload_that_cannot_keep_the_numbers_listens_nowhere_new(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PoolFull("no room")

    bound: list[Listening] = []

    async def bind(portals: Sequence[Portal]) -> list[Listening]:
        bound.extend(await bind_portals(portals))
        return bound

    config = Config(luns=LUNS, iqn=FIRST, portals=(ONE,))
    async with Array(config, open_pool=open_pool) as array:
        before = array.portals
        with monkeypatch.context() as patched:
            patched.setattr(target_changes, "bind_portals", bind)
            patched.setattr(array.pool, "remember", refuse)
            with pytest.raises(ConfigError, match="cannot keep the relative target ports: no room"):
                await reconfigure(array, config, replace(config, targets=(TargetConfig(SECOND, (TWO,)),)))
        assert [each.socket.fileno() for each in bound] == [-1]
        assert array.portals == before
        async with session_of(array, A) as session:
            assert await luns(session) == [0, 1]


def test_another_number_of_a_target_waits_for_a_restart() -> None:
    before = Config(targets=(TargetConfig(SECOND), TargetConfig(THIRD)))
    after = replace(
        before, targets=(TargetConfig(SECOND, relative_target_port=5), TargetConfig(FOURTH, relative_target_port=6))
    )
    assert fields_that_wait(before, after) == ["relative_target_port"]
    assert fields_that_wait(before, replace(before, relative_target_port=4)) == ["relative_target_port"]
    assert fields_that_wait(before, replace(before, targets=(TargetConfig(FOURTH, relative_target_port=6),))) == []


@pytest.mark.parametrize("number", ["0", "1025", '"1"', "true"])
@pytest.mark.parametrize("table", ["", '[[target]]\niqn = "iqn.2026-11.example:second"\n'])
def test_a_wrong_number_is_refused(tmp_path: Path, table: str, number: str) -> None:
    (tmp_path / "a.toml").write_text(f"{table}relative-target-port = {number}\n")
    with pytest.raises(ConfigError, match="relative-target-port: want a number from 1 to 1024"):
        load_config(tmp_path / "a.toml")


def test_the_number_in_a_file(tmp_path: Path) -> None:
    text = 'relative-target-port = 3\n[[target]]\niqn = "iqn.2026-11.example:second"\nrelative-target-port = 1024\n'
    (tmp_path / "a.toml").write_text(text)
    config = load_config(tmp_path / "a.toml")
    assert (config.relative_target_port, config.targets[0].relative_target_port) == (3, 1024)
