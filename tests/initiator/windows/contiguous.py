"""Layouts of files with one extent."""

from odx_target.initiator.copying.token_commands import BlockRange
from odx_target.initiator.windows.copying.layout import FileLayout


def contiguous(lba: int, size_bytes: int, block_bytes: int) -> FileLayout:
    """Return the layout of a file with one extent."""
    return FileLayout((BlockRange(lba, size_bytes // block_bytes),), block_bytes)
