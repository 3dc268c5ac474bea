"""Results as plain data, for a JSON document."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, TypedDict

from odx_target.conformance.check import Verdict
from odx_target.conformance.runner import Result


class ExchangeRow(TypedDict):
    """One exchange with the target."""

    title: str
    parts: Annotated[dict[str, str], "names such as `CDB`, and bytes in hexadecimal"]


class ResultRow(TypedDict):
    """One check and its verdict."""

    identifier: str
    area: str
    clause: Annotated[str, "clause of the standard"]
    title: str
    verdict: Annotated[str, "`pass`, `fail`, `skip` or `not run`"]
    reason: Annotated[str, "why the check failed, or was skipped or not run"]
    elapsed_s: float
    exchanges: Annotated[list[ExchangeRow], "the last exchanges of a check that failed"]


class Document(TypedDict):
    """The results of checks of a target."""

    target: Annotated[str, "URL of the LUN, without secrets"]
    counts: Annotated[dict[str, int], "number of checks with each verdict"]
    results: list[ResultRow]


def document(results: Sequence[Result], target: str) -> Document:
    """Return the results as plain data."""
    counts = Counter(result.verdict for result in results)
    return {
        "target": target,
        "counts": {verdict.value: counts[verdict] for verdict in Verdict},
        "results": [_row(result) for result in results],
    }


def _row(result: Result) -> ResultRow:
    check = result.check
    return {
        "identifier": check.identifier,
        "area": check.area,
        "clause": check.clause,
        "title": check.title,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "elapsed_s": round(result.elapsed_s, 3),
        "exchanges": [
            {"title": exchange.title, "parts": {name: data.hex() for name, data in exchange.parts.items()}}
            for exchange in result.exchanges
        ],
    }
