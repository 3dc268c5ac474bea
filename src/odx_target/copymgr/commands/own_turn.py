"""Turns of copy commands. Beside hosts, a copy command is divided among turns, because its handler takes as long as some reads
of hosts.
"""

from odx_target.copymgr.shared_state import Copies
from odx_target.scsi.tasks.task import Task


async def wait_for_own_turn(copies: Copies, task: Task, *, writes: bool | None) -> None:
    """Wait until a turn of this command begins, and check again what may have changed during the wait.

    `writes` is True if the command writes to the medium of its logical unit, and None if it need not access the medium. Raises
    TaskAborted. Raises CheckCondition if the logical unit does not accept the access any more.
    """
    await copies.environment.turns.next()
    task.raise_if_aborted()
    check = None if writes is None else task.nexus.access_refusal(task.logical_unit, writes=writes)
    if check is not None:
        raise check
