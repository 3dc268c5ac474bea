"""The injection of faults into one array: it connects the rules with the points of the array."""

from collections.abc import Callable

from odx_target.copymgr.shared_state import Copies
from odx_target.environment import Environment
from odx_target.iscsi.pdu.opcodes import Opcode
from odx_target.scsi.device_server import DeviceServer
from odx_target.store.api import Pool
from odx_target.target.faults.command_faults import CommandFaults
from odx_target.target.faults.copy_faults import CopyFaults
from odx_target.target.faults.effects import Effects
from odx_target.target.faults.login_faults import LoginFaults
from odx_target.target.faults.occurrence import Occurrence, Point
from odx_target.target.faults.pdu_faults import PduFaults
from odx_target.target.faults.rule import Rule
from odx_target.target.faults.rules import FaultRules
from odx_target.target.faults.segment_faults import SegmentFaults
from odx_target.target.reporter import Reporter
from odx_target.target.server.listener import Listener

INJECTED = "fault injected"
"""The event of the log for each injected fault, so that nobody mistakes the fault for a bug."""

PDU_NAMES = {int(opcode): opcode.name for opcode in Opcode}

LINES_PER_MINUTE = 60
"""Maximum number of lines about one rule in a minute. Further faults of the rule are counted."""


class FaultInjection:
    """Injects the faults of `rules` into an array, and logs each of them.

    `restart` restarts the array, or only cuts its connections if nothing can
    restart it.
    """

    def __init__(
        self,
        rules: FaultRules,
        server: DeviceServer,
        copies: Copies,
        pool: Pool,
        environment: Environment,
        reporter: Reporter,
        listener: Listener,
        restart: Callable[[], None],
    ) -> None:
        self._reporter = reporter
        self._listener = listener
        effects = Effects(copies, listener.connection_of, restart)
        rules.on_hit.append(self._report)
        CommandFaults(rules, server, environment, effects)
        CopyFaults(rules, copies, environment, effects)
        SegmentFaults(rules, pool, environment)
        LoginFaults(rules, listener.login_watch)
        pdus = PduFaults(rules, environment, effects, listener.connections)
        listener.on_connected = pdus.watch_all

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
        self._note_in_trace(rule, seen)

    def _note_in_trace(self, rule: Rule, seen: Occurrence) -> None:
        """Write a line to the trace of the session that meets the fault."""
        for connection in self._listener.connections() if seen.isid else ():
            session = connection.session
            if session is not None and (session.initiator_name, session.isid.hex()) == (seen.initiator, seen.isid):
                connection.note(f"{INJECTED} by the rule {rule.name}: {rule.text}")


def _facts(seen: Occurrence) -> dict[str, object]:
    """Return the facts that identify an occurrence to a reader of the log."""
    if seen.point is Point.STORE:
        return {"call": seen.segment_call, "segment": seen.segment}
    if seen.point is Point.PDU:
        return {"initiator": seen.initiator, "pdu": PDU_NAMES.get(seen.pdu, hex(seen.pdu))}
    return {"initiator": seen.initiator, **({"lun": seen.lun} if seen.point in (Point.COMMAND, Point.COPY) else {})}
