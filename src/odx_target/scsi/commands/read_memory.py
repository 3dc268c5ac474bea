"""Memory for data that commands read: reads that are large or wait for a disk claim it first.

It is taken when the task's turn in the task set has come, and nothing that holds some waits for another task: so no circle of
waiting can close. The transport gives it back once the data have left, whatever has become of the task.
"""

from odx_target.scsi.tasks.task import Task


def take_memory(task: Task, size_bytes: int) -> bool:
    """Claim memory for a task's read at once. Return False, with nothing claimed, if it would have to wait."""
    memory = task.nexus.read_memory
    if memory is None or memory.take(size_bytes):
        task.read_memory_bytes = 0 if memory is None else size_bytes
        return True
    return False


async def wait_for_memory(task: Task, size_bytes: int) -> None:
    """Claim memory for a task's read, unless it has claimed some already. Raises TaskAborted if it was aborted meanwhile."""
    if not task.read_memory_bytes and not take_memory(task, size_bytes):
        assert task.nexus.read_memory is not None
        await task.nexus.read_memory.wait_for(size_bytes)
        task.read_memory_bytes = size_bytes
        task.raise_if_aborted()
