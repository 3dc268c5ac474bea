"""`odx-target path` with two server processes: a key, a path, its end, and what is wrong."""

import json
import time
from functools import partial
from pathlib import Path

import pytest

from odx_target.cli.serving.recorded_sessions import check_recording
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal, ServeConfig
from tests.cli.conftest import Run


@pytest.fixture
def run(run: Run) -> Run:
    """Return a function that runs `odx-target path` in this process and returns exit code, output and errors."""
    return partial(run, "path")


def test_a_path_from_its_key_to_its_end(pools: tuple[Path, Path], run: Run, tmp_path: Path) -> None:
    code, key, _ = run("key")
    assert (code, len(key.strip())) == (0, 26)
    (tmp_path / "berlin.key").write_text(key)
    address = json.loads(run("list", pools[1], "--json")[1])["link_port"]
    throttle = ("--throttle", "20M", "--peak", "5M", "--peak-hours", "08:00-18:00")
    code, output, _ = run("add", pools[0], "berlin", address, "--key-file", tmp_path / "berlin.key", *throttle)
    assert (code, output) == (0, "the path berlin waits 600 s for the other array\n")
    assert "berlin" in run("list", pools[0])[1]
    assert run("add", pools[1], "paris", "--key-file", "-", "--right", "replicate", "--json", stdin=key)[0] == 0
    deadline_s = time.monotonic() + 60
    while "connected" not in run("list", pools[0])[1]:
        assert time.monotonic() < deadline_s
    for pool, name in zip(pools, ("berlin", "paris"), strict=True):
        code, output, _ = run("list", pool)
        assert code == 0
        assert name in output
        assert key.strip() not in output
    assert "20971520/s, 08:00-18:00 5242880/s" in run("list", pools[0])[1]
    code, output, _ = run("throttle", pools[0], "berlin", "30M", "--peak", "2M", "--peak-hours", "20:00-06:00")
    assert (code, output) == (0, "the throttle of the path berlin is 31457280/s, 20:00-06:00 2097152/s\n")
    assert run("throttle", pools[0], "berlin", "none")[1] == "the throttle of the path berlin is none\n"
    assert json.loads(run("throttle", pools[0], "berlin", "5M", "--json")[1])["throttle_bytes_per_s"] == 5 << 20
    assert run("compress", pools[0], "berlin", "wan")[1] == "the path berlin compresses data by the choice wan\n"
    assert run("compress", pools[0], "berlin", "zip")[0] == 2
    assert run("rights", pools[0], "berlin", "--none")[1] == "the path berlin has the rights none\n"
    code, output, _ = run("rights", pools[0], "berlin", "--right", "replicate", "--right", "serve-tokens")
    assert (code, output) == (0, "the path berlin has the rights replicate, serve-tokens\n")
    assert run("rights", pools[0], "berlin")[0] == run("rights", pools[0], "berlin", "--none", "--right", "replicate")[0] == 2
    assert run("rekey", pools[0], "berlin", "--key-file", "-", stdin="N" * 26)[1] == (
        "the path berlin waits 600 s for the other array\n"
    )
    assert run("remove", pools[0], "berlin")[:2] == (0, "the path berlin was removed\n")
    assert json.loads(run("remove", pools[1], "paris", "--json")[1]) == {"schema": "removed-path/1", "name": "paris"}
    code, _, error = run("remove", pools[0], "berlin")
    assert (code, error.splitlines()[-1]) == (1, "odx-target: there is no path berlin")


def test_a_path_whose_pairing_has_failed_is_listed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "3 attempts have failed: the peer does not know the path key"
    answer = {"link_port": "[::1]:1", "paths": [], "waiting": [], "unpaired": [{"name": "berlin", "reason": reason}]}
    monkeypatch.setattr("odx_target.cli.paths.path.ask_array", lambda *_: answer)
    assert f"path berlin is not paired: {reason}; use path add again, at both arrays\n" in run("list", tmp_path)[1]


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"short", "want a path key of 12"), (b"\xff\xfe" * 20, "it is not text")]
)
def test_key_files_that_are_refused(run: Run, tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    code, _, error = run("add", tmp_path, "berlin", "--key-file", tmp_path / "key")
    assert code == 2
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_closed_standard_input_has_no_key(run: Run, tmp_path: Path) -> None:
    code, _, error = run("add", tmp_path, "berlin", "--key-file", "-", stdin=None)
    assert (code, error) == (2, "odx-target: key file -: standard input is closed\n")


@pytest.mark.parametrize(("mode", "is_warned"), [(0o600, False), (0o640, True), (0o604, True), (0o620, True)])
def test_a_key_file_of_other_users_is_warned_of(run: Run, tmp_path: Path, mode: int, is_warned: bool) -> None:
    file = tmp_path / "key"
    file.write_text("K" * 26)
    file.chmod(mode)
    _, _, error = run("add", tmp_path, "berlin", "--key-file", file)
    assert (f"other users can use the key file {file}" in error) is is_warned
    assert "KKKK" not in error


def test_a_session_with_peers_cannot_be_recorded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without --link-port"):
        check_recording(Config(), ServeConfig(record=tmp_path / "file", link_port=Portal()))


def test_a_key_is_needed_and_a_short_one_is_warned_of(run: Run, tmp_path: Path) -> None:
    code, _, error = run("add", tmp_path, "berlin")
    assert code == 2
    assert "path key" in error
    code, _, error = run("add", tmp_path, "berlin", "--key-file", "-", stdin="fourteen-chars")
    assert "might be guessed" in error
    assert "fourteen" not in error
