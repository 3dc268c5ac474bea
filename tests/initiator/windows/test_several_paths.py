"""The choice of a path for each command, the effects of a lost path, and the return of a path."""

from dataclasses import replace

import pytest

from odx_target.initiator.result import CommandResult
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.settings import PathChoice, WindowsSettings
from tests.initiator.naive_target import INVALID_FIELD_IN_CDB, check_condition
from tests.initiator.windows.bench import PT, RRTI, WUT, Bench
from tests.initiator.windows.faults import SMALL, at, check_fallback
from tests.initiator.windows.scripted import (
    GIB,
    MIB,
    CutOff,
    tagged,
)

TWO_PATHS = 2


@pytest.mark.parametrize("choice", list(PathChoice))
def test_where_commands_go(choice: PathChoice) -> None:
    bench = Bench(settings=WindowsSettings(path_choice=choice), path_count=TWO_PATHS).start()
    bench.copy(GIB)
    taken = [(cdb[0], path) for path, _, cdb, _ in bench.source.sent if cdb[0] in (0x83, 0x84)]
    pairs = {(one[1] == two[1]) for one, two in zip(taken[::2], taken[1::2], strict=True)}
    assert pairs == {choice is PathChoice.ONE}


def test_f9_a_target_that_forgets_on_the_other_path() -> None:
    settings = WindowsSettings(path_choice=PathChoice.ROUND_ROBIN)
    bench = Bench(settings=settings, path_count=TWO_PATHS).start()
    came: dict[bytes, str] = {}

    def strict(cdb: bytes, data: bytes) -> CommandResult | None:
        path = bench.source.sent[-1][0]
        if (cdb[0], cdb[1]) == PT:
            came[cdb[6:10]] = path
        if (cdb[0], cdb[1]) == RRTI and came.get(cdb[2:6]) != path:
            return INVALID_FIELD_IN_CDB
        return None

    bench.source.answer = strict
    check_fallback(bench, bench.copy(SMALL), Rule.INFORMATION_FAILED)


@pytest.mark.parametrize("reset", [False, True])
def test_a_path_that_is_cut_in_a_copy(reset: bool) -> None:
    bench = Bench(settings=WindowsSettings(reset_after_failover=reset), path_count=TWO_PATHS).start()
    at(bench.destination, WUT, CutOff)
    bench.paths[1][0].restorable = False
    began_s = bench.clock.now()
    report = bench.copy(256 * MIB)
    assert report.stop is None
    assert bench.clock.now() - began_s == 15.0  # LinkDownTime
    paths = [(path, cdb) for path, _, cdb, _ in bench.destination.sent if (cdb[0], cdb[1]) == WUT]
    assert [path for path, _ in paths][:2] == ["path 0", "path 1"]
    assert len({cdb for _, cdb in paths}) == 1
    assert bench.management() == ["login"] * 4 + (["LOGICAL UNIT RESET"] if reset else [])


def test_a_path_that_comes_back_later_is_used_again() -> None:
    settings = WindowsSettings(path_choice=PathChoice.ROUND_ROBIN)
    bench = Bench("C", settings=settings, path_count=TWO_PATHS).start()
    at(bench.destination, WUT, CutOff)
    lost = bench.paths[1]
    for path in lost:
        path.restorable = False
    seen: list[str] = []

    def answer(cdb: bytes, data: bytes) -> CommandResult | None:
        if (cdb[0], cdb[1]) == WUT:
            seen.append(bench.destination.sent[-1][0])
            if len(seen) == 1:
                raise CutOff
            if len(seen) == 6:
                next(path for path in lost if not path.alive).alive = True
        return None

    bench.destination.answer = answer
    assert bench.copy(GIB).stop is None
    assert len(set(seen[1:6])) == 1
    assert len(set(seen[6:])) == 2


def test_a_path_that_comes_back_in_time_keeps_the_command() -> None:
    bench = Bench(path_count=TWO_PATHS).start()
    at(bench.destination, WUT, CutOff)
    assert bench.copy(256 * MIB).stop is None
    assert [path for path, _, cdb, _ in bench.destination.sent if (cdb[0], cdb[1]) == WUT] == ["path 0"] * 3
    assert bench.management() == ["login"]


@pytest.mark.parametrize(
    ("sense", "asks", "path"),
    [
        (check_condition(6, 0x2A, 6), True, "path 0"),
        (check_condition(6, 0x2A, 4), False, "path 0"),
        (check_condition(2, 0x04, 0x0A), False, "path 0"),
    ],
)
def test_what_the_multipath_module_does_by_itself(sense: CommandResult, asks: bool, path: str) -> None:
    bench = Bench(path_count=TWO_PATHS).start()
    left = [sense]
    bench.source.answer = lambda cdb, data: (
        left.pop() if (cdb[0], cdb[1]) == PT and left else CommandResult(0, bytes(4)) if cdb[0] == 0xA3 else None
    )
    assert bench.copy(SMALL).stop is None
    sent = [(one, cdb, attribute) for one, attribute, cdb, _ in bench.source.sent if cdb[0] in (0x83, 0xA3)]
    assert [one for one, _, _ in sent] == [path] * len(sent)
    assert [cdb[:2] == b"\xa3\x0a" for _, cdb, _ in sent] == [False, True, False] if asks else [False, False]
    assert tagged(bench.source.sent, bench.commands(PT)[0][1]) == [True, True]  # the class driver counts no retry for this


def test_the_multipath_module_does_not_go_on_for_ever() -> None:
    bench = Bench(path_count=TWO_PATHS).start()
    at(bench.source, PT, *[check_condition(6, 0x2A, 4)] * 99)
    check_fallback(bench, bench.copy(SMALL), Rule.POPULATE_FAILED)
    assert bench.kinds() == [PT] * 8


def test_a_unit_that_is_gone_on_one_path() -> None:
    bench = Bench(path_count=TWO_PATHS).start()
    bench.source.answer = lambda cdb, data: (
        check_condition(5, 0x25, 0) if bench.source.sent[-1][0] == "path 0" and cdb[0] == 0x83 else None
    )
    assert bench.copy(256 * MIB).stop is None
    assert bench.kinds() == [PT, PT, RRTI, WUT]


def test_all_paths_cut_and_one_comes_back() -> None:
    bench = Bench(path_count=TWO_PATHS).start()
    for path in bench.paths[1]:
        path.alive = False
    bench.paths[1][0].restorable = False
    assert bench.copy(256 * MIB).stop is None
    assert bench.paths[1][1].log == ["login"]


def test_settings_are_values() -> None:
    assert replace(WindowsSettings(), token_lifetime_s=5) != WindowsSettings()
