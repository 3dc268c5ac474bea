"""Reads a recording: all frames up to the end, or up to the first one that is cut or damaged."""

import mmap
from dataclasses import dataclass
from pathlib import Path

from odx_target.target.session_file.frames import (
    HEAD_BYTES,
    Frame,
    FrameKind,
    RecordingDamaged,
    check_head,
    decode_frame,
)


@dataclass(frozen=True, slots=True)
class Recording:
    """The frames of a file. `problem` says why the file has no more frames, or is None if its last frame is there."""

    frames: tuple[Frame, ...]
    problem: str | None = None

    @property
    def settings(self) -> Frame:
        """The frame with the settings. Raises RecordingDamaged if there is none."""
        if not self.frames or self.frames[0].kind is not FrameKind.SETTINGS:
            raise RecordingDamaged("the recording ends before its settings")
        return self.frames[0]


def read_recording(path: Path) -> Recording:
    """Read a file. Raises RecordingDamaged if it is not a recording, and OSError if it cannot be read."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            raise RecordingDamaged("this is not a recording of odx-target: the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            return decode_recording(view)


def decode_recording(view: memoryview) -> Recording:
    """Return the frames of a recording. Raises RecordingDamaged if the bytes do not begin as a recording does."""
    check_head(bytes(view[:HEAD_BYTES]))
    frames: list[Frame] = []
    at = HEAD_BYTES
    problem: str | None = None
    try:
        while at < len(view):
            frame, at = decode_frame(view, at, len(frames))
            frames.append(frame)
    except EOFError:
        problem = f"the file ends inside frame {len(frames)}"
    except RecordingDamaged as error:
        problem = str(error)
    if problem is None and (not frames or frames[-1].kind is not FrameKind.ENDED):
        problem = f"the file ends after {len(frames)} frames, without the frame that ends a recording"
    return Recording(tuple(frames), problem)
