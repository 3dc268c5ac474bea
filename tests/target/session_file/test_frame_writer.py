"""The writer of recordings: its size limit, errors of its file, and a process that is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from odx_target.target.session_file.frame_reader import read_recording
from odx_target.target.session_file.frame_writer import FrameWriter
from odx_target.target.session_file.frames import Frame, FrameKind
from odx_target.target.session_file.recording_limits import MIN_RECORDING_BYTES


def test_frames_are_written_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    writer = FrameWriter(path)
    writer.write(Frame(FrameKind.NOTE, content=b"{}"))
    writer.close()
    found = read_recording(path)
    assert [frame.kind for frame in found.frames] == [FrameKind.NOTE, FrameKind.ENDED]
    assert found.frames[-1].document() == {"reason": "the array has been stopped"}
    assert found.problem is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_at_the_size_limit_the_recording_ends_with_one_line(tmp_path: Path) -> None:
    path, ended = tmp_path / "recording", []
    writer = FrameWriter(path, MIN_RECORDING_BYTES, lambda: ended.append(1))
    with capture_logs() as logs:
        for _ in range(100):
            writer.write(Frame(FrameKind.RECEIVED, 1, content=bytes(1000)))
        writer.close()
    assert [entry["event"] for entry in logs] == ["the session is no longer recorded; the array continues"]
    found = read_recording(path)
    assert found.problem is None
    assert found.frames[-1].document() == {"reason": f"the recording has reached its limit of {MIN_RECORDING_BYTES} bytes"}
    assert MIN_RECORDING_BYTES - 3000 < path.stat().st_size <= MIN_RECORDING_BYTES
    assert ended == [1]


def test_after_an_error_of_the_file_the_recording_ends_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "recording"
    writer = FrameWriter(path)
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with capture_logs() as logs:
        writer.write(Frame(FrameKind.RECEIVED, 1))
        writer.flush()
        monkeypatch.setattr(os, "write", real)
        writer.write(Frame(FrameKind.RECEIVED, 1))
        writer.write(Frame(FrameKind.RECEIVED, 1))
        writer.close()
    assert [entry["event"] for entry in logs].count("the session is no longer recorded; the array continues") == 1
    assert not writer.is_on


KILLED = """
import os, signal, sys
from pathlib import Path
from odx_target.target.session_file.frame_writer import FrameWriter
from odx_target.target.session_file.frames import Frame, FrameKind
writer = FrameWriter(Path(sys.argv[1]))
for number in range(100):
    writer.write(Frame(FrameKind.RECEIVED, 1, content=bytes(number)))
writer.flush()
writer.write(Frame(FrameKind.RECEIVED, 1, content=bytes(100_000)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_all_frames_that_were_written(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    found = read_recording(path)
    assert [len(frame.content) for frame in found.frames[:100]] == list(range(100))
    assert found.problem is not None
