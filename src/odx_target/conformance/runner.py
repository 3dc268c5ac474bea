"""Runs checks one after the other, each with new sessions and a time limit, and returns the verdicts."""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import trio

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need, Verdict
from odx_target.conformance.exchange import Exchange, Records
from odx_target.conformance.faults import CheckFailed, NotSupported
from odx_target.conformance.features import Features
from odx_target.conformance.iscsi.raw_connection import StreamEnded
from odx_target.initiator.errors import InitiatorError


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict of one check. `reason` is one line; "" for a pass. `exchanges` are recorded only for failures."""

    check: Check
    verdict: Verdict
    reason: str
    exchanges: tuple[Exchange, ...] = ()
    elapsed_s: float = 0.0


class Equipment(Protocol):
    """Opens the sessions of checks. `monotonic` returns the time in seconds."""

    @property
    def monotonic(self) -> Callable[[], float]: ...

    def open(self, records: Records) -> AbstractAsyncContextManager[Bench]:
        """Open the sessions of one check. Raises InitiatorError."""
        ...

    async def features(self) -> Features:
        """Find out which features the target supports. Raises InitiatorError if it cannot be reached."""
        ...


NOT_ASKED = {
    Need.DESTRUCTIVE: "it overwrites data or disturbs other hosts, and was not asked for",
    Need.SECOND_LUN: "it needs a second LUN",
    Need.PORTAL: "it needs connections of its own",
}
"""The needs that depend on the user, with the reason that is reported if they are not met."""


def selected(checks: Sequence[Check], only: Sequence[str]) -> list[Check]:
    """Return the checks whose identifiers begin with one of the words, at a dot or as a whole. Without words, return all
    checks.
    """
    if not only:
        return list(checks)
    return [check for check in checks if any(f"{check.identifier}.".startswith(f"{word.rstrip('.')}.") for word in only)]


async def run_checks(
    checks: Sequence[Check], equipment: Equipment, *, given: Need, report: Callable[[Result], None]
) -> list[Result]:
    """Run the checks in their order, and call `report` after each. `given` are the needs that the user has met.

    Raises InitiatorError only if the target cannot be reached before the first check.
    """
    features = await equipment.features()
    results = []
    for check in checks:
        result = _without_running(check, given, features) or await _run(check, equipment)
        report(result)
        results.append(result)
    return results


def _without_running(check: Check, given: Need, features: Features) -> Result | None:
    """Return the result of a check whose needs are not met; None if the check can run."""
    for need in _single(check.needs):
        if need in NOT_ASKED and not need & given:
            return Result(check, Verdict.NOT_RUN, NOT_ASKED[need])
    for need in _single(check.needs):
        if need in features.missing:
            return Result(check, Verdict.SKIP, features.missing[need])
    return None


def _single(needs: Need) -> Iterator[Need]:
    return (need for need in Need if need & needs)


async def _run(check: Check, equipment: Equipment) -> Result:
    records = Records()
    began_s = equipment.monotonic()
    verdict, reason = await _verdict(check, equipment, records)
    exchanges = tuple(records.exchanges) if verdict is Verdict.FAIL else ()
    return Result(check, verdict, reason, exchanges, equipment.monotonic() - began_s)


async def _verdict(check: Check, equipment: Equipment, records: Records) -> tuple[Verdict, str]:
    try:
        with trio.move_on_after(check.time_limit_s) as limit:
            async with equipment.open(records) as bench:
                await check.run(bench)
    except NotSupported as reason:
        return Verdict.SKIP, str(reason)
    except (CheckFailed, InitiatorError, StreamEnded) as failure:
        return Verdict.FAIL, str(failure)
    except (ValueError, LookupError, ArithmeticError, struct.error) as error:
        # The checks decode what the target sends, which may be shorter or larger than any field allows.
        return Verdict.FAIL, f"the answer cannot be decoded: {type(error).__name__}: {error}"
    if limit.cancelled_caught:
        return Verdict.FAIL, f"no end in {check.time_limit_s:g} s"
    return Verdict.PASS, ""
