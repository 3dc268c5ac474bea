"""A file that cannot be written is skipped, and written again as soon as that is possible."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from odx_target.target.trace.record_file import RETRY_S, WARNING_INTERVAL_S, RecordFile


class Disk:
    """`os.write` of a disk that has room for only a few more bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room_bytes: int | None = None
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room_bytes is None:
            return self._write(descriptor, data)
        if not self.room_bytes:
            raise OSError(28, "No space left on device")
        written = self._write(descriptor, data[: self.room_bytes])
        self.room_bytes -= written
        return written


@pytest.mark.parametrize("append", [True, False])
def test_a_full_disk_leaves_whole_records_and_one_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, append: bool
) -> None:
    disk = Disk(monkeypatch)
    file = RecordFile(tmp_path / "trace", append=append, header=b"HEAD")
    with capture_logs() as logs:
        assert file.write(b"first")
        disk.room_bytes = 3
        assert not file.write(b"second")
        assert not file.write(b"third")
        disk.room_bytes = None
        assert not file.write(b"fourth")
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert (tmp_path / "trace").read_bytes() == b"HEADfirst"
    file.retry()
    assert file.write(b"fifth")
    assert (tmp_path / "trace").read_bytes() == b"HEADfirstfifth"
    file.close()


def test_a_file_is_tried_again_by_itself_and_told_of_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    now_s = 1000.0
    file = RecordFile(tmp_path / "trace", append=False, now=lambda: now_s)
    disk.room_bytes = 0
    warnings_at_s = []
    for _ in range(13):
        with capture_logs() as logs:
            assert not file.write(b"left out")
            assert file.has_failed
        warnings_at_s += [now_s] * len(logs)
        assert file.error == "No space left on device"
        now_s += RETRY_S
    assert warnings_at_s == [1000.0, 1000.0 + WARNING_INTERVAL_S, 1000.0 + 2 * WARNING_INTERVAL_S]
    disk.room_bytes = None
    assert not file.has_failed
    assert file.write(b"written")
    assert file.error is None
    file.close()
    assert (tmp_path / "trace").read_bytes() == b"written"


def test_a_header_that_did_not_fit_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    disk.room_bytes = 2
    file = RecordFile(tmp_path / "trace", append=False, header=b"HEAD")
    assert not file.write(b"first")
    disk.room_bytes = None
    file.retry()
    file.write(b"second")
    file.close()
    assert (tmp_path / "trace").read_bytes() == b"HEADsecond"


def test_what_was_there_is_kept_or_not(tmp_path: Path) -> None:
    for append, expected in [(True, b"oldnew"), (False, b"new")]:
        path = tmp_path / f"trace{append}"
        path.write_bytes(b"old")
        file = RecordFile(path, append=append)
        file.write(b"new")
        file.close()
        assert path.read_bytes() == expected


def test_a_pipe_nobody_reads_is_refused_and_a_slow_one_not_waited_for_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device"):
        RecordFile(path, append=False)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = RecordFile(path, append=False)
    assert file.write(b"a")
    file.stop_waiting()
    assert not file.write(bytes(1 << 21))
    file.close()
    os.close(reader)


def test_a_device_that_is_always_full() -> None:
    file = RecordFile(Path("/dev/full"), append=True)
    assert not file.write(b"a")
    file.close()


def test_a_private_file_that_was_there_is_private_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "packets"
    path.write_bytes(b"old")
    path.chmod(0o666)
    file = RecordFile(path, append=False, private=True)
    file.write(b"new")
    file.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == b"new"


def test_a_file_of_lines_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(b"")
    path.chmod(0o640)
    RecordFile(path, append=True).close()
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("is_there", [True, False])
def test_a_private_file_is_not_reached_by_a_link(tmp_path: Path, is_there: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    if is_there:
        target.write_bytes(b"kept")
    link.symlink_to(target)
    with pytest.raises(OSError, match="this is a symbolic link") as refused:
        RecordFile(link, append=False, private=True)
    assert refused.value.filename == str(link)
    assert target.exists() is is_there
    assert not is_there or target.read_bytes() == b"kept"


def test_a_file_whose_permissions_cannot_be_set_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "packets"
    path.write_bytes(b"kept")
    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(PermissionError) as refused:
        RecordFile(path, append=False, private=True)
    assert refused.value.filename == str(path)
    assert path.read_bytes() == b"kept"


def test_a_private_pipe_is_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o640)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = RecordFile(path, append=False, private=True)
    assert file.write(b"a")
    assert os.read(reader, 2) == b"a"
    file.close()
    os.close(reader)
