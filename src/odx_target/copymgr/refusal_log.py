"""The latest refusals with their reasons, and the number of refusals of each kind."""

from collections import Counter, deque

from odx_target.copymgr.commands.parameter_lists import Lid1Receive, ServiceAction
from odx_target.copymgr.limits import REFUSALS_KEPT
from odx_target.copymgr.refusal import Refusal
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.sense import CheckCondition


class RefusalLog:
    def __init__(self) -> None:
        self._latest: deque[dict[str, object]] = deque(maxlen=REFUSALS_KEPT)
        self._counts: Counter[str] = Counter()
        self._last: CheckCondition | None = None

    def note(self, nexus: Nexus, service_action: ServiceAction | Lid1Receive, check: CheckCondition) -> None:
        """Store a refusal. If several callers pass the same exception object, it is stored only once."""
        if check is self._last:
            return
        self._last = check
        reason = check.explain() if isinstance(check, Refusal) else {"condition": check.condition.words}
        self._counts[str(reason.get("code", reason["condition"]))] += 1
        self._latest.append({"command": service_action.name, "initiator": nexus.initiator_name, **reason})

    @property
    def latest(self) -> list[dict[str, object]]:
        """Return the latest refusals, oldest first. At most `REFUSALS_KEPT` refusals are stored."""
        return list(self._latest)

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of refusals by sense code."""
        return dict(self._counts)
