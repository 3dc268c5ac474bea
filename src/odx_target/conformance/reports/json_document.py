"""Results as a JSON document."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

from odx_target.conformance.check import Verdict
from odx_target.conformance.runner import Result


class ExchangeRow(TypedDict):
    """One exchange. `parts` maps names such as "CDB" to bytes in hexadecimal."""

    title: str
    parts: dict[str, str]


class ResultRow(TypedDict):
    """One check and its verdict."""

    identifier: str
    area: str
    clause: str
    title: str
    verdict: str
    reason: str
    elapsed_s: float
    exchanges: list[ExchangeRow]


class Document(TypedDict):
    """The whole document. `counts` maps each verdict to its number of checks."""

    target: str
    counts: dict[str, int]
    results: list[ResultRow]


def document(results: Sequence[Result], target: str) -> Document:
    """Return the results as plain data."""
    counts = Counter(result.verdict for result in results)
    return {
        "target": target,
        "counts": {verdict.value: counts[verdict] for verdict in Verdict},
        "results": [_row(result) for result in results],
    }


def json_text(results: Sequence[Result], target: str) -> str:
    """Return the results as JSON text."""
    return json.dumps(document(results, target), indent=1) + "\n"


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
