"""Functions that read the sense data of token commands, so that a copy can decide how to continue."""

from odx_target.initiator.result import CommandResult
from odx_target.initiator.sense import SenseKey, read_sense

OPERATION_IN_PROGRESS = (0x00, 0x16)
COPY_UNDERRUN = (0x0D, 0x04)


def is_underrun(result: CommandResult) -> bool:
    """True if the command ended early and processed fewer blocks than its range descriptors request."""
    sense = read_sense(result.sense)
    return sense is not None and sense.is_copy_underrun


def is_end_of_token(result: CommandResult) -> bool:
    """True if the target refuses the token, or if the token has no data at the requested offset. With a new token, the same
    command may succeed.
    """
    sense = read_sense(result.sense)
    return sense is not None and (
        sense.is_invalid_token or (sense.key == SenseKey.ILLEGAL_REQUEST and sense.code == COPY_UNDERRUN)
    )
