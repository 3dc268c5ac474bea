"""The output of `serve --show-limits` has every limit of the modules, and the memory that follows from them."""

import inspect
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from odx_target.cli.program import run
from odx_target.cli.serving.constant_reasons import first_sentence, reasons_of
from odx_target.cli.serving.limit_tables import describe_value
from odx_target.cli.serving.limits import NOT_SHOWN, SHOWN, describe_limits, describe_memory
from odx_target.copymgr import limits as copy_limits
from odx_target.iscsi import limits as iscsi_limits
from odx_target.scsi import limits as scsi_limits
from odx_target.store.map.leaf_memory import DEFAULT_MAP_MEMORY_BYTES
from odx_target.target.config.settings import Config
from odx_target.target.server.memory_limits import DEFAULT_MEMORY_BYTES, MAX_SHARES, MIN_MEMORY_BYTES, SESSION_BYTES

MODULES = list(dict.fromkeys(module for modules in SHOWN.values() for module, _ in modules))
BOUNDS = ("MAX", "MIN", "MAXIMUM", "MINIMUM", "MOST", "LEAST")


def bounds(module: ModuleType) -> Iterator[str]:
    """Iterate over the names of the limits that a module itself defines, without imported ones."""
    lines = inspect.getsource(module).splitlines()
    for name in vars(module):
        words = name.split("_")
        if (words[0] in BOUNDS or words[-1] in BOUNDS) and any(_defines(line, name) for line in lines):
            yield name


def _defines(line: str, name: str) -> bool:
    names, equals, _ = line.partition(" = ")
    return bool(equals) and name in names.split(", ")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_limit_of_a_module_is_shown_or_is_not_for_a_reason(module: ModuleType) -> None:
    shown = {constant for modules in SHOWN.values() for each, constants in modules if each is module for constant in constants}
    hidden = {constant for (each, constant), reason in NOT_SHOWN.items() if each is module and reason}
    assert not shown & hidden
    assert set(bounds(module)) <= shown | hidden


def test_every_reason_is_the_first_sentence_below_the_constant() -> None:
    for limits in describe_limits(Config()).values():
        for limit in limits:
            assert limit.reason, limit.name
    reasons = reasons_of(copy_limits)
    assert reasons["MIN_TOMBSTONE_S"] == "Minimum time for which the cause of a token's end is stored"
    assert (
        first_sentence("""Maximum (SBC-4 5.24): 1.5 times
        as many. More.""")
        == "Maximum (SBC-4 5.24): 1.5 times as many"
    )


def test_the_limits_modules_are_all_there() -> None:
    assert {iscsi_limits, scsi_limits, copy_limits} <= set(MODULES)
    assert {module for module, _ in NOT_SHOWN} <= set(MODULES)


def test_a_configured_budget_and_memory_limit_are_shown() -> None:
    rows = [
        limit for limits in describe_limits(Config(copy_budget_s=0.4, memory_limit_bytes=1 << 30)).values() for limit in limits
    ]
    values = {limit.name: describe_value(limit) for limit in rows}
    assert values["command budget"] == "0.4 s"
    assert values["answer reserve"] == "0.2 s"
    assert values["memory limit"] == "1.0 GiB"
    assert values["max connections"] == str(iscsi_limits.MAX_CONNECTIONS)


def test_the_memory_of_maps_is_shown() -> None:
    for config, size_bytes in ((Config(), DEFAULT_MAP_MEMORY_BYTES), (Config(map_memory_bytes=32 << 20), 32 << 20)):
        (limit,) = [limit for limits in describe_limits(config).values() for limit in limits if limit.name == "map memory"]
        assert limit.value == size_bytes
        (part,) = [part for part in describe_memory(config) if part.name == "maps"]
        assert part.size_bytes == size_bytes


def test_constants_that_are_one_limit_have_one_value() -> None:
    """Only one constant of each pair is shown, because both have the same value."""
    assert iscsi_limits.MAX_TRANSFER_BYTES == scsi_limits.MAX_TRANSFER_BYTES


@pytest.mark.parametrize("limit_bytes", [MIN_MEMORY_BYTES, DEFAULT_MEMORY_BYTES, 3 << 30])
def test_the_memory_of_sessions_is_the_memory_limit(limit_bytes: int) -> None:
    parts = {part.name: part.size_bytes for part in describe_memory(Config(memory_limit_bytes=limit_bytes))}
    of_sessions = ("sessions", "discovery sessions", "logins", "unsolicited data", "data of writes", "data of reads")
    assert limit_bytes - 1 <= sum(parts[name] for name in of_sessions) <= limit_bytes
    assert parts["sessions"] == MAX_SHARES * SESSION_BYTES
    assert parts["results of copies"] == copy_limits.MAX_RECORD_BYTES


def test_the_command_prints_them_and_serves_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["odx-target", "serve", "--show-limits", "--memory-limit", "1G"])
    assert run() == 0
    out = capsys.readouterr().out
    for title, limits in describe_limits(Config()).items():
        assert title in out.splitlines()
        for limit in limits:
            assert limit.reason in out
    (line,) = [line for line in out.splitlines() if line.startswith("memory limit ")]
    assert "1.0 GiB" in line
    (together,) = [line for line in out.splitlines() if line.startswith("together: ")]
    assert together.endswith("GiB")
    assert "listening" not in out


def test_a_setting_that_cannot_be_is_refused_as_by_serve(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["odx-target", "serve", "--show-limits", "--memory-limit", "1M"])
    assert run() == 2
    assert "memory limit" in capsys.readouterr().err
