"""Recordings of arrays that restart, by a fault and by a test, and of arrays that are reset."""

from pathlib import Path

import pytest
import trio

from odx_target.initiator import cdb
from odx_target.initiator.errors import InitiatorError
from odx_target.target.session_file.frame_reader import read_recording
from odx_target.target.session_file.frames import FrameKind
from odx_target.testing import running_array
from tests.replay.recorded import assert_equal, replayed

LUNS = {"a": "1M"}
DATA = b"data" * 128


def kinds(path: Path) -> list[FrameKind]:
    return [frame.kind for frame in read_recording(path).frames]


@pytest.mark.parametrize("in_directory", [False, True])
def test_a_restart_by_a_test(tmp_path: Path, in_directory: bool) -> None:
    path = tmp_path / "recording"
    with running_array(luns=LUNS, record_to=path, directory=tmp_path / "pool" if in_directory else None) as array:
        array.host().write("a", 0, DATA)
        array.restart()
        assert array.host().read("a", 0, 1) == DATA
    assert kinds(path).count(FrameKind.STARTED) == 1
    if not in_directory:
        assert_equal(trio.run(replayed, path))


def test_a_restart_by_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    with running_array(luns=LUNS, record_to=path) as array:
        host = array.host()
        host.write("a", 0, DATA)
        array.faults.add("command=read first=1 restart")
        with pytest.raises(InitiatorError):
            host.execute("a", cdb.read_16(0, 1), data_in_bytes=512)
        assert array.host().read("a", 0, 1) == DATA
    assert kinds(path).count(FrameKind.STARTED) == 1
    assert_equal(trio.run(replayed, path))


def test_a_reset_begins_the_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    with running_array(luns=LUNS, record_to=path) as array:
        array.host().write("a", 0, DATA)
        array.reset()
        assert array.host().read("a", 0, 1) == bytes(512)
    assert FrameKind.STARTED not in kinds(path)
    assert_equal(trio.run(replayed, path))
