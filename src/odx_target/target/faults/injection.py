"""The injection of faults into one array: it connects the rules with the points of the array."""

from collections.abc import Callable

from odx_target.copymgr.shared_state import Copies
from odx_target.environment import Environment
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.target.faults.command_faults import CommandFaults
from odx_target.target.faults.effects import Connection, Effects
from odx_target.target.faults.occurrence import Occurrence, Point
from odx_target.target.faults.rule import Rule
from odx_target.target.faults.rules import FaultRules
from odx_target.target.reporter import Reporter

INJECTED = "fault injected"
"""The event of the log for each injected fault, so that nobody mistakes the fault for a bug."""

LINES_PER_MINUTE = 60
"""Maximum number of lines about one rule in a minute. Further faults of the rule are counted."""


class FaultInjection:
    """Injects the faults of `rules` into an array, and logs each of them.

    `connection_of` finds the connection of a nexus. `restart` restarts the array, or only cuts its connections if nothing can
    restart it.
    """

    def __init__(
        self,
        rules: FaultRules,
        server: DeviceServer,
        copies: Copies,
        environment: Environment,
        reporter: Reporter,
        connection_of: Callable[[Nexus], Connection | None],
        restart: Callable[[], None],
    ) -> None:
        self._reporter = reporter
        effects = Effects(copies, connection_of, restart)
        rules.on_hit.append(self._report)
        self._commands = CommandFaults(rules, server, environment, effects)

    def _report(self, rule: Rule, seen: Occurrence) -> None:
        self._reporter.report(
            "warning",
            INJECTED,
            cause=rule.name,
            lines=LINES_PER_MINUTE,
            rule=rule.name,
            point=str(seen.point),
            faults=" ".join(key for key in rule.faults()),
            **_facts(seen),
        )


def _facts(seen: Occurrence) -> dict[str, object]:
    """Return the facts that identify an occurrence to a reader of the log."""
    if seen.point is Point.STORE:
        return {"call": seen.segment_call, "segment": seen.segment}
    return {"initiator": seen.initiator, **({"lun": seen.lun} if seen.point in (Point.COMMAND, Point.COPY) else {})}
