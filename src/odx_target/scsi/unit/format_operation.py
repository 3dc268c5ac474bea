"""A format operation of a logical unit (SBC-3 4.11), as other commands see it."""

from odx_target.scsi.sense import FORMAT_COMMAND_FAILED, FORMAT_IN_PROGRESS, CheckCondition
from odx_target.scsi.unit.medium_progress import MediumProgress


class FormatOperation(MediumProgress):
    """A format operation that runs or has failed.

    `previous` is a failed operation before this one, or None. If this operation is stopped, the failure is reported again.
    """

    def __init__(self, previous: "FormatOperation | None") -> None:
        super().__init__()
        self.previous = previous

    def fail(self) -> None:
        """Record that the operation has failed. An earlier failure then no longer matters."""
        self.has_failed = True
        self.previous = None

    def condition(self) -> CheckCondition:
        """Return the sense data for commands that the operation prevents."""
        if self.has_failed:
            return CheckCondition(FORMAT_COMMAND_FAILED)
        return CheckCondition(FORMAT_IN_PROGRESS, progress=self.progress)
