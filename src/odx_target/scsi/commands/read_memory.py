"""Memory for data that commands read. If a read is large or has to wait for a disk, it first claims memory.

A task claims memory only after its turn in the task set has come. A task that holds memory never waits for another task.
Therefore deadlocks are impossible. The transport releases the memory when it has sent the data, or when the task has ended
without data.
"""

from odx_target.scsi.tasks.task import Task


def take_memory(task: Task, size_bytes: int) -> bool:
    """Try to claim memory for a task's read. If the claim would have to wait, claim no memory and return False."""
    memory = task.nexus.read_memory
    if memory is None or memory.take(size_bytes):
        task.read_memory_bytes = 0 if memory is None else size_bytes
        return True
    return False


async def wait_for_memory(task: Task, size_bytes: int) -> None:
    """Wait for memory for a task's read, unless the task has memory already.

    Raises TaskAborted if the task is aborted during the wait.
    """
    if not task.read_memory_bytes and not take_memory(task, size_bytes):
        assert task.nexus.read_memory is not None
        await task.nexus.read_memory.wait_for(size_bytes)
        task.read_memory_bytes = size_bytes
        task.raise_if_aborted()
