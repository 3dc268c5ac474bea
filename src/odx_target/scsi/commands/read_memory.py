"""Memory for data that commands read. Reads that are large or wait for a disk claim memory first.

A task claims memory only when its turn in the task set has come, and a task that holds memory never waits for another task. So
tasks cannot wait for each other in a circle. The transport releases the memory when the data have been sent, or when the task
has ended in another way.
"""

from odx_target.scsi.tasks.task import Task


def take_memory(task: Task, size_bytes: int) -> bool:
    """Claim memory for a task's read at once. Return False, without a claim, if the claim would have to wait."""
    memory = task.nexus.read_memory
    if memory is None or memory.take(size_bytes):
        task.read_memory_bytes = 0 if memory is None else size_bytes
        return True
    return False


async def wait_for_memory(task: Task, size_bytes: int) -> None:
    """Claim memory for a task's read, unless the task has some already. Raises TaskAborted if it was aborted meanwhile."""
    if not task.read_memory_bytes and not take_memory(task, size_bytes):
        assert task.nexus.read_memory is not None
        await task.nexus.read_memory.wait_for(size_bytes)
        task.read_memory_bytes = size_bytes
        task.raise_if_aborted()
