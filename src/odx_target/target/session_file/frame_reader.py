"""Reads a recording: all frames up to the end, or up to the first one that is cut or damaged."""

import io
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, overload

from odx_target.target.session_file.frames import (
    HEAD_BYTES,
    HEADER_BYTES,
    MAX_CONTENT_BYTES,
    Frame,
    FrameKind,
    RecordingDamaged,
    check_head,
    decode_frame,
)


@dataclass(frozen=True, slots=True)
class Recording:
    """The frames of a file. `problem` says why the file has no more frames, or is None if its last frame is there."""

    frames: Sequence[Frame]
    problem: str | None = None

    @property
    def settings(self) -> Frame:
        """The frame with the settings. Raises RecordingDamaged if there is none."""
        if not self.frames or self.frames[0].kind is not FrameKind.SETTINGS:
            raise RecordingDamaged("the recording ends before its settings")
        return self.frames[0]


class FramesInFile(Sequence[Frame]):
    """The frames of a file, which are read when they are needed. Only their positions are in memory: 8 bytes each.

    Reading raises RecordingDamaged if the file has changed meanwhile, and OSError if it cannot be read.
    """

    def __init__(self, path: Path, positions: "array[int]") -> None:
        self._path = path
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        with self._path.open("rb") as file:
            file.seek(self._positions[number])
            return self._read(file, number)

    def __iter__(self) -> Iterator[Frame]:
        with self._path.open("rb") as file:
            file.seek(HEAD_BYTES)
            for number in range(len(self)):
                yield self._read(file, number)

    def _read(self, file: BinaryIO, number: int) -> Frame:
        try:
            return _read_frame(file, number)
        except EOFError:
            raise RecordingDamaged(f"frame {number} is missing: the file has become shorter") from None


def read_recording(path: Path) -> Recording:
    """Check a file, and return its frames. Raises RecordingDamaged if it is no recording, and OSError if it cannot be read."""
    positions = array("Q")
    with path.open("rb") as file:
        if not file.seek(0, io.SEEK_END):
            raise RecordingDamaged("this is not a recording of odx-target: the file is empty")
        file.seek(0)
        problem = _read_all(file, lambda _, position: positions.append(position))
    return Recording(FramesInFile(path, positions), problem)


def decode_recording(data: bytes) -> Recording:
    """Return the frames of a recording. Raises RecordingDamaged if the bytes do not begin as a recording does."""
    frames: list[Frame] = []
    problem = _read_all(io.BytesIO(data), lambda frame, _: frames.append(frame))
    return Recording(tuple(frames), problem)


def _read_all(file: BinaryIO, take: Callable[[Frame, int], None]) -> str | None:
    """Pass each frame and its position to `take`. Return the problem after which there are no more frames, or None."""
    check_head(file.read(HEAD_BYTES))
    last: FrameKind | None = None
    number = 0
    while True:
        position = file.tell()
        try:
            frame = _read_frame(file, number)
        except EOFError:
            if file.tell() > position:
                return f"the file ends inside frame {number}"
            is_whole = last is FrameKind.ENDED
            return None if is_whole else f"the file ends after {number} frames, without the frame that ends a recording"
        except RecordingDamaged as error:
            return str(error)
        take(frame, position)
        last, number = frame.kind, number + 1


def _read_frame(file: BinaryIO, number: int) -> Frame:
    """Read the next frame. Raises EOFError if the file ends before or inside it, and RecordingDamaged if it is damaged."""
    header = file.read(HEADER_BYTES)
    content = file.read(min(int.from_bytes(header[:4], "big"), MAX_CONTENT_BYTES))
    return decode_frame(header + content, number)
