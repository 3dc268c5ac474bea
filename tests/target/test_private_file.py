"""Files with secrets: other users cannot read them, and they are complete or missing."""

import os
import stat
from pathlib import Path

import pytest

from odx_target.target.config import private_file
from odx_target.target.config.private_file import write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("existing_mode", [None, 0o644, 0o666])
def test_only_the_owner_reads_it(tmp_path: Path, umask: int, existing_mode: int | None) -> None:
    path = tmp_path / "token"
    if existing_mode is not None:
        path.write_bytes(b"former")
        path.chmod(existing_mode)
    former = os.umask(umask)
    try:
        write_private(path, b"secret")
    finally:
        os.umask(former)
    assert (path.read_bytes(), mode(path)) == (b"secret", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["token"]


def test_a_link_is_refused_and_what_it_names_stays(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"other")
    for name in ("target", "absent"):
        link = tmp_path / f"link to {name}"
        link.symlink_to(tmp_path / name)
        with pytest.raises(OSError, match="symbolic link"):
            write_private(link, b"secret")
    assert (tmp_path / "target").read_bytes() == b"other"
    assert not (tmp_path / "absent").exists()


def test_devices_and_pipes_are_written_to_and_stay(tmp_path: Path) -> None:
    write_private(Path("/dev/null"), b"secret")
    assert Path("/dev/null").is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_private(pipe, b"secret")
        assert os.read(reader, 100) == b"secret"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_disk_that_fails_leaves_the_former_file_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"former")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_file.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as failed:
        write_private(path, b"secret")
    assert failed.value.filename == str(path)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("token", b"former")]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as failed:
        write_private(tmp_path / "absent" / "token", b"secret")
    assert failed.value.filename == str(tmp_path / "absent" / "token")
