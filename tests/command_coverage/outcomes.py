"""The recorded outcomes: how commands end, and the tests that show it."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from odx_target.scsi.command_table import CommandRow, CommandTable
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.sense import CheckCondition
from tests.copymgr.array import CopyArray

PATH = Path(__file__).with_name("outcomes.tsv")
FOLDERS = ("tests/scsi", "tests/copymgr")
"""Folders of the tests whose outcomes are recorded. These tests use a virtual clock, so they always end in the same way."""

ALL_COMMANDS = "*"
"""Stands for the command of an outcome that has nothing to do with the handler of the command."""

_OF_ALL_COMMANDS = (Status.TASK_ABORTED, Status.TASK_SET_FULL)
_DESCRIPTOR_FORMAT = 0x72


class Outcome(NamedTuple):
    """How a command ends: its code, such as "88" or "83/10", and its status, or the codes of its sense data."""

    command: str
    result: str


NO_OUTCOME = Outcome("", "")


@cache
def commands() -> CommandTable:
    """Return the command table of an array."""
    table = CopyArray().server.commands
    CopyArray.close_all()
    return table


def code_of(row: CommandRow) -> str:
    return f"{row.operation_code:02X}" if row.service_action is None else f"{row.operation_code:02X}/{row.service_action:02X}"


def outcome_of(cdb: bytes, reply: Reply, *, is_handled: bool) -> Outcome:
    """Return the outcome of a command. `is_handled` is False if the command was refused before its handler was called."""
    try:
        command = code_of(commands().find(cdb).row)
    except CheckCondition:
        command = ALL_COMMANDS
    if not is_handled or reply.status in _OF_ALL_COMMANDS:
        command = ALL_COMMANDS
    if reply.status != Status.CHECK_CONDITION:
        return Outcome(command, Status(reply.status).name.replace("_", " "))
    sense = reply.sense
    key, asc, ascq = sense[1:4] if sense[0] == _DESCRIPTOR_FORMAT else (sense[2], sense[12], sense[13])
    return Outcome(command, f"{key & 0xF:X}h/{asc:02X}h/{ascq:02X}h")


def read(path: Path = PATH) -> dict[Outcome, str]:
    """Return the recorded outcomes, each with the identifier of a test."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return {Outcome(command, result): test for command, result, test in rows}


def merged(found: Iterable[tuple[Outcome, str]], before: Mapping[Outcome, str]) -> dict[Outcome, str]:
    """Return one test for each outcome that was found: the test of `before` if it still shows the outcome.

    Outcomes of tests that have not run are taken from `before`.
    """
    tests: dict[Outcome, set[str]] = {}
    for outcome, test in found:
        tests.setdefault(outcome, set()).add(test)
    ran = set().union(*tests.values())
    tests.pop(NO_OUTCOME, None)
    recorded = {outcome: test for outcome, test in before.items() if test not in ran or test in tests.get(outcome, ())}
    chosen = {outcome: min(names, key=lambda name: (len(name), name)) for outcome, names in tests.items()}
    return chosen | recorded


def text_of(recorded: Mapping[Outcome, str]) -> str:
    """Return the content of the file of recorded outcomes."""
    return "".join(f"{outcome.command}\t{outcome.result}\t{test}\n" for outcome, test in sorted(recorded.items()))
