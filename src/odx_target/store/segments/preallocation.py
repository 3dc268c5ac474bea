"""Preallocation of segment files, so that later writes need no new room on the disk."""

import os

from odx_target.store.api import BLOCK_BYTES

_ZEROS = memoryview(bytes(64 * BLOCK_BYTES))


def preallocate(descriptor: int, former_blocks: int, size_blocks: int, *, is_in_memory: bool) -> None:
    """Enlarge a file from `former_blocks` to `size_blocks`, and reserve its room. Raises OSError.

    In a file system in memory, the pages are allocated too, so that the first write to each page is fast. The pages of the
    former blocks exist already, and the kernel would look for each of them. On a system that cannot reserve room, zeros are
    written.
    """
    start_blocks = former_blocks if is_in_memory else 0
    if hasattr(os, "posix_fallocate") and start_blocks < size_blocks:
        os.posix_fallocate(descriptor, start_blocks * BLOCK_BYTES, (size_blocks - start_blocks) * BLOCK_BYTES)
    if is_in_memory or not hasattr(os, "posix_fallocate"):
        for block in range(former_blocks, size_blocks, len(_ZEROS) // BLOCK_BYTES):
            rest_bytes = (size_blocks - block) * BLOCK_BYTES
            os.pwrite(descriptor, _ZEROS[:rest_bytes], block * BLOCK_BYTES)
