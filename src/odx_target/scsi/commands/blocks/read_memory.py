"""Memory for the data of reads. A read that is large or has to wait for the disk first claims memory.

A task claims memory only when it no longer has to wait for other tasks of the task set. So a task that has memory never waits
for another task, and deadlocks are impossible. The transport releases the memory when it has sent the data, or when the task
has ended without data.
"""

from odx_target.scsi.tasks.task import Task


def take_memory(task: Task, size_bytes: int) -> bool:
    """Claim memory for the read of a task if this is possible without waiting. Otherwise claim nothing and return False."""
    memory = task.nexus.read_memory
    if memory is None or memory.take(size_bytes):
        task.read_memory_bytes = 0 if memory is None else size_bytes
        return True
    return False


async def wait_for_memory(task: Task, size_bytes: int) -> None:
    """Wait for memory for the read of a task, and claim it. Does nothing if the task has already claimed memory.

    Raises TaskAborted if the task is aborted during the wait.
    """
    if not task.read_memory_bytes and not take_memory(task, size_bytes):
        assert task.nexus.read_memory is not None
        await task.nexus.read_memory.wait_for(size_bytes)
        task.read_memory_bytes = size_bytes
        task.raise_if_aborted()
