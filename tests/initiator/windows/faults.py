"""Faults of a scripted target for one command, and checks after them."""

from collections.abc import Callable

from odx_target.initiator.result import CommandResult
from odx_target.initiator.windows.copying.copy_engine import CopyReport
from odx_target.initiator.windows.rules import Rule
from tests.initiator.windows.bench import RRTI, Bench
from tests.initiator.windows.scripted import (
    MIB,
    ScriptedDisk,
)

HALF = 0x40000
SMALL = 128 * MIB


def at(disk: ScriptedDisk, kind: tuple[int, int], *answers: CommandResult | type[Exception] | None) -> None:
    """Answer the first commands of a kind: with a result, with an exception, or as usual (None)."""
    left = list(answers)

    def answer(cdb: bytes, data: bytes) -> CommandResult | None:
        if (cdb[0], cdb[1]) != kind or not left:
            return None
        one = left.pop(0)
        if isinstance(one, type):
            raise one
        return one

    disk.answer = answer


def records(disk: ScriptedDisk, change: Callable[[CommandResult], CommandResult]) -> None:
    """Change the answers to RECEIVE ROD TOKEN INFORMATION."""

    def answer(cdb: bytes, data: bytes) -> CommandResult | None:
        return change(disk.obey(cdb, data)) if (cdb[0], cdb[1]) == RRTI else None

    disk.answer = answer


def check_fallback(bench: Bench, report: CopyReport, *rules: Rule) -> None:
    """Check that the whole file was copied by ordinary reads and writes, and that these rules are the reason."""
    assert (report.offloaded_bytes, report.ordinary_bytes) == (0, SMALL)
    assert bench.rules() == list(rules)
    assert report.stop is not None
    assert report.stop.rule == rules[-1]


def identifiers(bench: Bench) -> list[int]:
    return [int.from_bytes(cdb[2:6] if cdb[0] == 0x84 else cdb[6:10], "big") for _, cdb in bench.commands()]
