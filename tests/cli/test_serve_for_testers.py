"""`odx-target serve` for testers: the line of JSON, the ready file, the clock, the recorder and the HTTP control port."""

import json
import os
import signal
import stat
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from odx_target.cli import main as cli
from odx_target.configured_pool import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.url import Portal
from odx_target.replay.array_replay import replay_recording
from odx_target.target.session_file.frame_reader import read_recording
from tests.interop import forked
from tests.target.running import OPTIONS, settled

TIMEOUT_S = 120
WRONG_TOKENS = ["", "too-short", "x" * 513, "with a blank in it", "two\nlines-of-a-token", "tökentökentöken€"]
LUNS = ["--lun", "a=1M", "--lun", "b=1M,block=4096"]
SERVE = ["serve", *LUNS, "--portal", "127.0.0.1:0"]


@contextmanager
def served(folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    """Start a server, and yield the line of JSON that it prints. Afterwards it has ended with the exit status 0."""
    reading, writing = os.pipe()
    with (folder / "log").open("w") as log, os.fdopen(writing, "w") as pipe:
        process = forked.start([*SERVE, "--json", *options], folder=folder, stdout=pipe, stderr=log)
    try:
        with os.fdopen(reading) as output:
            line = output.readline()
            assert line, (folder / "log").read_text()
            yield json.loads(line)
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT_S) == 0
            assert output.read() == ""
    finally:
        process.kill()
        process.wait(TIMEOUT_S)


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Return the error message of a server that does not start."""
    monkeypatch.setattr(sys, "argv", ["odx-target", "serve", "--lun", "a=1M", "--portal", "127.0.0.1:0", *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    return said


def manage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the output and the errors of `odx-target manage`."""
    monkeypatch.setattr(sys, "argv", ["odx-target", "manage", *words])
    with pytest.raises(SystemExit):
        cli.main()
    return "".join(capsys.readouterr())


def post(ready: dict[str, Any], operation: str, **arguments: object) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{ready['http']['url']}/v1/{operation}",
        json.dumps(arguments).encode(),
        {"Authorization": f"Bearer {ready['http']['token']}"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def test_one_line_describes_the_array_and_the_ready_file_has_the_same_line(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    (tmp_path / "ours.toml").write_text("token-copy.maximum-ranges = 8")
    with served(tmp_path, "--ready-file", "ready.json", "--personality", "./ours.toml") as ready:
        assert json.loads(file.read_text()) == ready
        assert ready["personality"] == "ours"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        (portal,) = ready["portals"]
        iqn = "iqn.2026-11.io.odx-target:array"
        assert (ready["version"], ready["http"], ready["targets"]) == (1, None, [{"name": iqn, "portals": [portal]}])
        assert Path(f"/proc/{ready['pid']}").exists()
        assert [lun["url"] for lun in ready["luns"]] == [f"iscsi://{portal}/{iqn}/{lun}" for lun in (0, 1)]
        second = {"lun": 1, "name": "b", "size_bytes": 1 << 20, "block_bytes": 4096}
        assert ready["luns"][1].items() >= second.items()
        assert Path(ready["control"]).exists()
    assert not file.exists()


def test_http_clients_advance_the_clock_and_read_the_commands(tmp_path: Path) -> None:
    with served(tmp_path, "--http", "0", "--clock", "virtual", "--record-commands") as ready:
        before_s = post(ready, "clock")["time_s"]
        after = post(ready, "advance-clock", seconds=3600)
        assert (after["mode"], after["time_s"], after["advanced_s"]) == ("virtual", before_s + 3600, 3600)
        forked.run("copy", *(lun["url"] for lun in ready["luns"]), timeout_s=TIMEOUT_S).check_returncode()
        seen = [command["operation"] for command in post(ready, "commands")["commands"]]
        assert seen.count("WRITE USING TOKEN") == 1
        assert post(ready, "offload")["copied_bytes"] == 1 << 20
        asked = ("clock", "advance-clock 60", "commands", "offload", "clear-commands", "commands --json")
        ended = {words: forked.run("manage", ready["control"], *words.split()) for words in asked}
        assert {each.returncode for each in ended.values()} == {0}
        lines = {words: each.stdout for words, each in ended.items()}
        assert lines["clock"].endswith("clock virtual, advanced by 3600 s\n")
        assert lines["advance-clock 60"].endswith("clock virtual, advanced by 3660 s\n")
        assert "WRITE USING TOKEN" in lines["commands"]
        assert lines["offload"].startswith("1.0 MiB copied by the array: 1.0 MiB shared")
        assert lines["clear-commands"] == f"{len(seen)} commands have been seen since the start\n"
        assert json.loads(lines["commands --json"]) == {"schema": "commands/1", "commands": []}


def test_a_token_file_gives_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("sixteen-letters!\n")
    with served(tmp_path, "--http", "0", "--http-token-file", "token") as ready:
        assert ready["http"]["token"] == "sixteen-letters!"
        assert post(ready, "clock")["mode"] == "real"
        over_http = ("--http", ready["http"]["url"], "--token-file", str(token_file))
        assert json.loads(manage(monkeypatch, capsys, *over_http, "clock", "--json"))["mode"] == "real"
        assert "clock real" in manage(monkeypatch, capsys, *over_http, "clock")
        assert "give --http and --token-file together" in manage(monkeypatch, capsys, *over_http[:2], "clock")
    assert "sixteen-letters!" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--http", "0.0.0.0:0", "--json"], "the control port is for programs on this machine only"),
        (["--http", "example.org:80", "--json"], "the control port is for programs on this machine only"),
        (["--http", "nowhere", "--json"], "want HOST:PORT or PORT"),
        (["--http", "0"], "give --http-token-file, or --json or --ready-file"),
        (["--clock", "fast"], "clock: want one of real, shifted, virtual"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert message in refused(monkeypatch, capsys, *options)


@pytest.mark.parametrize("content", WRONG_TOKENS)
def test_wrong_tokens_are_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str
) -> None:
    file = tmp_path / "secret-file"
    file.write_text(content)
    said = refused(monkeypatch, capsys, "--http", "0", "--http-token-file", str(file))
    assert "want one line of 16 to 512 printable ASCII characters" in said
    assert not content or content not in said


def test_a_ready_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    done = forked.run(*SERVE, "--ready-file", tmp_path / "missing" / "ready.json", timeout_s=TIMEOUT_S)
    assert done.returncode == 1
    assert "ready.json" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_recorded_server_that_is_killed_can_be_replayed(tmp_path: Path) -> None:
    path = tmp_path / "session.odxrec"
    reading, writing = os.pipe()
    with (tmp_path / "log").open("w") as log, os.fdopen(writing, "w") as pipe:
        process = forked.start([*SERVE, "--json", "--record", path], folder=tmp_path, stdout=pipe, stderr=log)
    try:
        with os.fdopen(reading) as output:
            ready = json.loads(output.readline())
            trio.run(write_until_recorded, ready, path)
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
    recording = read_recording(path)
    assert recording.problem is not None
    result = trio.run(partial(replay_recording, recording, open_pool, pool_dir=tmp_path / "pool"))
    assert result.difference is None, result.difference.lines()
    assert len(result.steps) > 5


async def write_until_recorded(ready: dict[str, Any], path: Path) -> None:
    """Write blocks until their answers are in the file."""
    host, _, port = ready["portals"][0].rpartition(":")
    async with open_session(Portal(host, int(port)), ready["targets"][0]["name"], OPTIONS) as session:
        await settled(session)
        while path.stat().st_size < 20_000:
            assert (await session.execute(0, cdb.write_16(0, 1), bytes(512))).status == 0


def test_a_new_pool_that_stays_is_not_recorded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = refused(monkeypatch, capsys, str(tmp_path / "pool"), "--record", str(tmp_path / "file"))
    assert "its secret would follow from the recording" in said
    assert not list(tmp_path.iterdir())


def test_a_recording_replaces_no_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"an earlier recording")
    assert "exists" in refused(monkeypatch, capsys, "--record", str(path))
    assert path.read_bytes() == b"an earlier recording"


@pytest.mark.parametrize("size", ["1K", "65535", "2T", "x"])
def test_a_wrong_limit_of_a_recording_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, size: str
) -> None:
    assert "size" in (said := refused(monkeypatch, capsys, "--record", str(tmp_path / "f"), "--record-limit", size)) or (
        "want 64K to 1T" in said
    )
