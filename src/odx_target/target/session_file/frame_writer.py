"""Writes a recording: frames are queued by the event loop and written in a thread, up to a size limit."""

from collections.abc import Callable
from pathlib import Path

from odx_target.target.event_log import log
from odx_target.target.session_file.frames import HEAD_BYTES, Frame, FrameKind, document, encode_frame, encode_head
from odx_target.target.session_file.recording_limits import DEFAULT_RECORDING_BYTES
from odx_target.target.trace.record_file import RecordFile
from odx_target.target.trace.record_writer import RecordWriter

MAX_WAITING_BYTES = 512 << 20
"""Maximum number of recorded bytes that wait for the file. The array takes no inputs while 8 MiB wait, so only the output of a
few inputs can come on top."""
_LAST_FRAME_BYTES = 1024
"""Room below the size limit for the frame that ends the recording."""


class FrameWriter:
    """Writes frames to a file until the size limit is reached, the file cannot be written, or `close` is called.

    Only the owner can read the file. Raises OSError if the file cannot be opened. `is_on` is False after the end of the
    recording; further frames are then dropped. `on_end` is called at this moment.
    """

    def __init__(self, path: Path, max_bytes: int = DEFAULT_RECORDING_BYTES, on_end: Callable[[], None] | None = None) -> None:
        self.path = path
        self.is_on = True
        self.on_end = on_end
        self._max_bytes = max_bytes
        self._count = 0
        self._size_bytes = HEAD_BYTES
        file = RecordFile(path, append=False, header=encode_head(), private=True)
        self._writer = RecordWriter(file, lambda _count: b"", MAX_WAITING_BYTES)

    def write(self, frame: Frame) -> None:
        """Queue a frame. If it does not fit below the size limit, the recording ends."""
        if not self.is_on:
            return
        record = encode_frame(self._count, frame)
        if self._size_bytes + len(record) + _LAST_FRAME_BYTES > self._max_bytes:
            self._end(f"the recording has reached its limit of {self._max_bytes} bytes")
        elif self._writer.error is not None:
            self._end(f"the recording cannot be written: {self._writer.error}")
        elif not self._put(record):
            self._end("the file takes the recording more slowly than it comes")

    @property
    def queued_bytes(self) -> int:
        """Number of recorded bytes that wait for the file."""
        return self._writer.queued_bytes

    def flush(self) -> bool:
        """Wait until all frames are written or the file has failed. Another thread may call this method."""
        return self._writer.flush()

    def close(self, reason: str = "the array has been stopped") -> None:
        """End the recording, and close the file. This waits for the file, but not for long."""
        if self.is_on:
            self.is_on = False
            self._put(self._last_frame(reason))
        if not self._writer.close():
            log.warning("the recording is incomplete, its file accepts no data", file=str(self.path))

    def _end(self, reason: str) -> None:
        self.is_on = False
        self._put(self._last_frame(reason))
        log.warning("the session is no longer recorded; the array continues", file=str(self.path), reason=reason)
        if self.on_end is not None:
            self.on_end()

    def _last_frame(self, reason: str) -> bytes:
        return encode_frame(self._count, Frame(FrameKind.ENDED, content=document({"reason": reason[:500]})))

    def _put(self, record: bytes) -> bool:
        if not self._writer.write(record, 1):
            return False
        self._count += 1
        self._size_bytes += len(record)
        return True
