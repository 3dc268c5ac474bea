"""Faults of logins: a login is refused or redirected when its first request has named the initiator and the target."""

from odx_target.iscsi.login.login_answer import LoginRefused
from odx_target.iscsi.pdu.opcodes import LoginStatus
from odx_target.iscsi.pdu.text import encode_pairs
from odx_target.target.faults.occurrence import Occurrence, Point
from odx_target.target.faults.rules import FaultRules
from odx_target.target.server.target_directory import LoginWatch


class LoginFaults:
    """Refuses logins while there are rules for logins."""

    def __init__(self, rules: FaultRules, watch: LoginWatch) -> None:
        self._rules = rules
        self._watch = watch
        rules.on_change.append(self._rules_changed)
        self._rules_changed()

    def _rules_changed(self) -> None:
        self._watch.check = self._check if self._rules.active(Point.LOGIN) else None

    def _check(self, initiator_name: str, target_name: str) -> None:
        """Raise LoginRefused if a rule refuses this login. A login without a target name is a discovery."""
        seen = Occurrence(Point.LOGIN, initiator=initiator_name, target=target_name, is_discovery=not target_name)
        for rule in self._rules.hits(seen):
            address = rule.values.get("redirect")
            moved = LoginStatus.TARGET_MOVED_TEMPORARILY
            status = rule.values.get("refuse", moved)
            text = b"" if address is None else encode_pairs([("TargetAddress", address)])
            raise LoginRefused(status, f"a fault was injected by the rule {rule.name}", text)
