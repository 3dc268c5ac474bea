"""Results as lines of text for a terminal."""

from collections import Counter
from collections.abc import Sequence

from odx_target.conformance.check import Verdict
from odx_target.conformance.runner import Result

IDENTIFIER_WIDTH = 32
VERDICT_WIDTH = 8


def result_line(result: Result) -> str:
    """Return one line: verdict, identifier, title, and for a failure or a skip the reason."""
    check = result.check
    head = f"{result.verdict.value:{VERDICT_WIDTH}} {check.identifier:{IDENTIFIER_WIDTH}} {check.title} ({check.clause})"
    return head if not result.reason else f"{head}: {result.reason}"


def failure_lines(result: Result) -> list[str]:
    """Return the exchanges of a failed check as lines, indented."""
    return [f"    {line}" for exchange in result.exchanges for line in exchange.lines()]


def summary_line(results: Sequence[Result]) -> str:
    """Return the number of checks with each verdict."""
    counts = Counter(result.verdict for result in results)
    return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)
