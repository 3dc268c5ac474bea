"""The steps that abort commands under way. An aborted command changes nothing after the abort."""

import numpy as np

from tests.torture.model import Indexes
from tests.torture.run import Difference, Run, UnderWay


def abort(run: Run, pick: int) -> None:
    if run.under_way:
        command = run.under_way[pick % len(run.under_way)]
        task = command.started.task
        run.array.server.abort_task(run.array.nexus, task.lun, task.tag)
        _end(run, [command])


def reset_lun(run: Run, lun: int) -> None:
    if run.lun(lun) is not None:
        run.array.server.reset_logical_unit(run.array.unit(f"v{lun}"), None)
        _end(run, [command for command in run.under_way if command.change.volume == f"v{lun}"])


def _end(run: Run, aborted: list[UnderWay]) -> None:
    """Wait for aborted commands. Raises Difference if they have changed data since the abort."""
    run.array.nexus.unit_attentions.clear()
    left = [command for command in aborted if not command.started.is_done]
    for command in left:
        command.is_disturbed = True
    before: list[Indexes] = [run.found_done(command.change) for command in left]
    for command, done in zip(left, before, strict=True):
        run.wait_for(command)
        after = run.now.volumes[command.change.volume].cells[command.change.indexes] == command.change.new
        if not np.array_equal(done, after):
            raise Difference("an aborted command has changed data")


Run.ACTIONS.update(abort=abort, reset_lun=reset_lun)
