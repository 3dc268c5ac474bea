"""A format operation of a logical unit (SBC-3 4.11), as other commands see it."""

from odx_target.scsi.sense import FORMAT_COMMAND_FAILED, FORMAT_IN_PROGRESS, CheckCondition

MAX_PROGRESS = 0xFFFF
"""Greatest value of PROGRESS INDICATION, which is a fraction of 65,536."""


class FormatOperation:
    """A format operation that runs or has failed.

    `previous` is a failed operation before this one, or None. If this operation is stopped, the failure is reported again.
    """

    def __init__(self, previous: "FormatOperation | None") -> None:
        self.previous = previous
        self.done_blocks = 0
        """Number of blocks, from the first one on, that are formatted."""
        self.progress = 0
        """Progress of the operation, from 0 to MAX_PROGRESS."""
        self.has_failed = False

    def made_progress(self, done_blocks: int, total_blocks: int) -> None:
        """Record that the first `done_blocks` of `total_blocks` blocks are formatted."""
        self.done_blocks = done_blocks
        self.progress = min(done_blocks * (MAX_PROGRESS + 1) // total_blocks, MAX_PROGRESS)

    def fail(self) -> None:
        """Record that the operation has failed. An earlier failure then no longer matters."""
        self.has_failed = True
        self.previous = None

    def condition(self) -> CheckCondition:
        """Return the sense data for commands that the operation prevents."""
        if self.has_failed:
            return CheckCondition(FORMAT_COMMAND_FAILED)
        return CheckCondition(FORMAT_IN_PROGRESS, progress=self.progress)
