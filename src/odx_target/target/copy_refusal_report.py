"""Log lines about copies that the array refused or did only in part."""

from collections.abc import Mapping

from odx_target.copymgr.advice import sentence
from odx_target.target.reporter import Reporter

LINES_OF_A_CAUSE = 3
"""Number of lines about the same initiator and rule in one interval of the reporter. Hosts may repeat a refused command."""


def report_refusal(reporter: Reporter, entry: Mapping[str, object]) -> None:
    """Log a refusal of `RefusalLog` with its explanation."""
    cause = entry["initiator"], entry["code"], entry.get("rule")
    reporter.report("info", "a copy was not offloaded", cause=cause, lines=LINES_OF_A_CAUSE, explanation=sentence(entry))
