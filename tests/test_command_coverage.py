"""docs/coverage.md: it is up to date, its tests exist, and it lists every command and every condition."""

import ast
import inspect
from functools import cache
from pathlib import Path

import pytest

from odx_target.scsi import sense
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.sense import Condition, SenseKey
from tests.command_coverage.document import PATH, document
from tests.command_coverage.outcomes import FOLDERS, NO_OUTCOME, Outcome, code_of, commands, merged, outcome_of, read, text_of

ROOT = Path(__file__).parents[1]
RECORDED = read()
ROWS = list(commands().rows())
SUCCESSES = ("GOOD", "CONDITION MET")

AS_DATA: dict[str, str] = {
    # Conditions that end no command, because they are reported as data, and the tests that show this.
    "FAILURE_PREDICTION_THRESHOLD_EXCEEDED": "tests/scsi/test_log_sense.py",
    "NO_ADDITIONAL_SENSE_INFORMATION": "tests/scsi/test_unit_commands.py",
    "LOGICAL_UNIT_NOT_SUPPORTED": "tests/scsi/test_missing_logical_unit.py",
    "WRITE_ERROR": "tests/scsi/test_failures.py",
}
SOURCES = [path for path in (ROOT / "src" / "odx_target").rglob("*.py") if "initiator" not in path.parts]


@cache
def names_of_tests(path: str) -> frozenset[str]:
    """Return the names of the tests of a file, as pytest shows them."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return frozenset(found)


def result_of(condition: Condition) -> str:
    return f"{condition.key:X}h/{condition.asc:02X}h/{condition.ascq:02X}h"


def named_conditions(path: Path) -> set[str]:
    """Return the conditions that a module imports from `sense`."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == sense.__name__]
    names = {alias.name for node in imports for alias in node.names}
    return {name for name in names if isinstance(getattr(sense, name), Condition)}


def test_the_document_is_up_to_date() -> None:
    assert PATH.read_text(encoding="utf-8") == document(RECORDED), "make coverage"


@pytest.mark.parametrize("test", sorted({name.partition("[")[0] for name in RECORDED.values()}))
def test_each_named_test_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert path.startswith(FOLDERS)
    assert name in names_of_tests(path)


@pytest.mark.parametrize("row", ROWS, ids=[code_of(row) for row in ROWS])
def test_each_command_succeeds_in_a_test(row: CommandRow) -> None:
    assert any(Outcome(code_of(row), result) in RECORDED for result in SUCCESSES)


def test_the_document_lists_only_commands_of_the_array() -> None:
    assert {outcome.command for outcome in RECORDED} <= {"*", *map(code_of, ROWS)}


def test_each_condition_that_the_array_names_ends_a_command_in_a_test() -> None:
    """Unit attentions are left out, because their tests look at the pending conditions of a nexus."""
    used = set().union(*(named_conditions(path) for path in SOURCES))
    results = {outcome.result.partition("/")[2] for outcome in RECORDED}  # a handler may replace the sense key
    missing = {
        name
        for name in used
        if (condition := getattr(sense, name)).key is not SenseKey.UNIT_ATTENTION
        and f"{condition.asc:02X}h/{condition.ascq:02X}h" not in results
    }
    assert missing <= set(AS_DATA)
    assert all((ROOT / test).exists() for test in AS_DATA.values())


MODULES = sorted({module for row in ROWS if (module := inspect.getsourcefile(inspect.unwrap(row.handler))) is not None})


@pytest.mark.parametrize("module", MODULES, ids=lambda module: Path(module).stem)
def test_each_condition_of_a_module_ends_one_of_its_commands(module: str) -> None:
    """A condition that the module of a handler names must end a command of this module in a test."""
    codes = {code_of(row) for row in ROWS if inspect.getsourcefile(inspect.unwrap(row.handler)) == module}
    results = {outcome.result for outcome in RECORDED if outcome.command in codes}
    for name in named_conditions(Path(module)):
        condition: Condition = getattr(sense, name)
        if condition.key is not SenseKey.UNIT_ATTENTION and name not in AS_DATA:
            assert result_of(condition) in results, name


def test_a_recorded_test_is_kept_while_it_shows_its_outcome() -> None:
    good, full = Outcome("88", "GOOD"), Outcome("88", "7h/27h/07h")
    busy = Outcome("88", "BUSY")
    found = [(good, "b"), (good, "a"), (full, "long name"), (full, "short"), (NO_OUTCOME, "b"), (NO_OUTCOME, "quiet")]
    before = {good: "b", full: "quiet", busy: "a", Outcome("8A", "GOOD"): "of another file"}
    assert merged(found, before) == {good: "b", full: "short", Outcome("8A", "GOOD"): "of another file"}
    assert text_of({good: "b"}) == "88\tGOOD\tb\n"


def test_an_outcome_is_named_by_its_service_action_and_its_sense_data() -> None:
    read_16, populate_token = bytes((0x88, *bytes(15))), bytes((0x83, 0x10, *bytes(14)))
    assert outcome_of(read_16, Reply(), is_handled=True) == ("88", "GOOD")
    assert outcome_of(populate_token, Reply(Status.BUSY), is_handled=True) == ("83/10", "BUSY")
    assert outcome_of(read_16, Reply(Status.TASK_SET_FULL), is_handled=True) == ("*", "TASK SET FULL")
    fixed, described = bytes.fromhex("f0 00 0a 00 00 00 01 0a 00 00 00 00 0d 04"), bytes.fromhex("72 05 24 00")
    assert outcome_of(read_16, Reply(2, sense=fixed), is_handled=True) == ("88", "Ah/0Dh/04h")
    assert outcome_of(read_16, Reply(2, sense=described), is_handled=False) == ("*", "5h/24h/00h")
    assert outcome_of(bytes((0xFF, *bytes(15))), Reply(2, sense=described), is_handled=True) == ("*", "5h/24h/00h")
