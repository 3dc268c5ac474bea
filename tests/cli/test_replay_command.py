"""`odx-target replay`: exit codes, the first difference, JSON, the page, and wrong files."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from odx_target.iscsi.pdu.opcodes import Opcode
from odx_target.target.schedules.commands import ProcessCommands
from odx_target.target.session_file.frame_reader import read_recording
from odx_target.target.session_file.frames import Frame, FrameKind, document, encode_frame, encode_head
from odx_target.testing import running_array
from tests.cli.conftest import Run

MARKUP = "<script>alert(1)</script>&'\""


@pytest.fixture(scope="module")
def recording(module_path: Path) -> Path:
    """A recording of a session with a token that expires, a write, a fault, and a snapshot."""
    path = module_path / "session.odxrec"
    with running_array(luns={"a": "1M", "b": "1M"}, record_to=path) as array:
        host = array.host()
        host.write("a", 0, b"data" * 128)
        array.fill("b", seed=7, pattern=None, size=4096)
        array.write("b", 100, b"written by the test")
        token = host.populate_token("a", blocks=1)
        array.snapshot("before")
        array.clock.advance(121)
        host.write_using_token("b", token, blocks=1, check=False)
        array.faults.add("command=read first=1 status=busy", name="one")
        host.read("b", 0, 8)
        array.restore("before", "a")
    return path


@pytest.fixture
def replay(run: Run) -> Run:
    """Return a function that runs `odx-target replay`, as `run` does."""
    return partial(run, "replay")


def written(path: Path, *frames: Frame) -> Path:
    path.write_bytes(encode_head() + b"".join(encode_frame(number, frame) for number, frame in enumerate(frames)))
    return path


def operation(name: str, arguments: dict[str, object]) -> Frame:
    return Frame(FrameKind.OPERATION, content=document({"operation": name, "arguments": arguments}))


def changed(recording: Path, path: Path, change: Callable[[Frame], Frame]) -> Path:
    """Write a recording whose frames are changed, with right checksums."""
    return written(path, *map(change, read_recording(recording).frames))


def test_equal_answers_have_the_exit_code_0(recording: Path, replay: Run) -> None:
    code, out, errors = replay(recording)
    assert (code, errors) == (0, "")
    assert out.endswith(" steps: all answers are equal\n")


def test_the_result_as_json(recording: Path, replay: Run) -> None:
    code, out, _ = replay(recording, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["schema"], found["is_equal"], found["difference"], found["warnings"]) == ("replay/1", True, None, [])


def test_a_changed_answer_is_named_by_its_pdu_and_field(recording: Path, replay: Run, tmp_path: Path) -> None:
    count = 0

    def change(frame: Frame) -> Frame:
        nonlocal count
        is_response = frame.kind is FrameKind.SENT and frame.content[:1] == bytes([Opcode.SCSI_RESPONSE])
        count += is_response
        if not (is_response and count == 3):
            return frame
        content = bytearray(frame.content)
        content[27] ^= 1  # the last byte of StatSN
        return Frame(frame.kind, frame.connection, frame.array_s, frame.connections_s, bytes(content), frame.flags)

    code, out, errors = replay(changed(recording, tmp_path / "changed", change))
    assert code == 1
    assert errors.count("\n") == 1
    assert "the answers differ after" in errors
    first, second, *lines = out.splitlines()
    assert first.startswith("connection 1, PDU ")
    assert second.startswith("stat_sn: recorded ")
    assert [line.partition(":")[0] for line in lines] == ["recorded", "now"]


@pytest.mark.parametrize("dropped", [FrameKind.SENT, FrameKind.RECEIVED, FrameKind.OPERATION, FrameKind.CONTENT])
def test_a_missing_frame_is_noticed(recording: Path, replay: Run, tmp_path: Path, dropped: FrameKind) -> None:
    """Without any such frame, an answer differs."""
    frames = read_recording(recording).frames
    numbers = [number for number, frame in enumerate(frames) if frame.kind is dropped]
    number = numbers[len(numbers) // 2]
    kept = [*frames[:number], *frames[number + 1 :]]
    assert replay(written(tmp_path / "changed", *kept))[0] == 1


class Elements(HTMLParser):
    """The elements of a page, their identifiers, and the addresses that the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.identifiers: list[str | None] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        for name, value in attributes:
            if name == "id":
                self.identifiers.append(value)
            if name in ("src", "href"):
                self.addresses.append(str(value))


def test_the_page_opens_at_the_failed_step_and_needs_nothing_else(recording: Path, replay: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.touch(0o644)
    assert replay(recording, "--html", page)[0] == 0
    assert page.stat().st_mode & 0o777 == 0o600, "the page has data of hosts"
    text = page.read_text()
    found = Elements()
    found.feed(text)
    assert found.identifiers == ["failed"]
    assert found.addresses == ["#failed"]
    assert found.names.count("script") == 1
    assert "invalid token operation, token expired" in text
    assert "data blocks written" in text
    failed = text.partition('id="failed"')[2].partition("</tr>")[0]
    assert "BUSY" in failed


def test_the_page_escapes_what_others_have_written(recording: Path, replay: Run, tmp_path: Path) -> None:
    def change(frame: Frame) -> Frame:
        if frame.kind is not FrameKind.OPERATION:
            return frame
        content = json.dumps({"operation": MARKUP, "arguments": {}}).encode()
        return Frame(frame.kind, frame.connection, frame.array_s, frame.connections_s, content, frame.flags)

    page = tmp_path / "page.html"
    assert replay(changed(recording, tmp_path / MARKUP.replace("/", "-"), change), "--html", page)[0] == 1
    text = page.read_text()
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert 'class="difference"' in text


def test_a_cut_recording_is_replayed_up_to_its_last_whole_frame(recording: Path, replay: Run, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(recording.read_bytes()[:-100])
    code, out, errors = replay(path)
    assert code == 0
    assert "inside frame" in errors
    assert "all answers are equal" in out


def test_a_replay_runs_no_program_that_a_file_names(
    recording: Path, replay: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recordings are passed on with reports of faults, so a file may come from anybody."""
    program, started = "/bin/false", []

    async def run(_: ProcessCommands, command: str, *_rest: object) -> str:
        started.append(command)
        return ""

    monkeypatch.setattr(ProcessCommands, "run", run)
    settings = read_recording(recording).settings.document()
    fields = {"every": "hourly", "keep": 3, "before": program, "on_failure": "skip"}
    settings["settings"]["schedules"] = [{"name": "s", "fields": fields, "volumes": ["a"]}]
    path = written(
        tmp_path / "changed",
        Frame(FrameKind.SETTINGS, content=document(settings)),
        operation("schedule-run", {"name": "s"}),
        operation("snapshot-create", {"snapshots": ["b@new"], "before": program}),
        Frame(FrameKind.ENDED, content=document({})),
    )
    assert replay(path) == (0, "2 steps: all answers are equal\n", "")
    assert not started


@pytest.mark.parametrize("values", [{"seed": [0]}, {"offset": 1e999}])
def test_a_damaged_change_of_a_lun_is_one_line(recording: Path, replay: Run, tmp_path: Path, values: dict[str, object]) -> None:
    def change(frame: Frame) -> Frame:
        if frame.kind is not FrameKind.CONTENT or frame.document()["change"] != "fill":
            return frame
        return replace(frame, content=document({**frame.document(), **values}, frame.data()))

    code, _, errors = replay(changed(recording, tmp_path / "changed", change))
    assert (code, errors.count("\n")) == (1, 1)
    assert "a change of a LUN cannot be used" in errors


def test_endless_numbers_in_settings_are_one_line(recording: Path, replay: Run, tmp_path: Path) -> None:
    def change(frame: Frame) -> Frame:
        if frame.kind is not FrameKind.SETTINGS:
            return frame
        values = frame.document()
        values["luns"][0]["blocks"] = float("inf")
        return replace(frame, content=document(values))

    code, out, errors = replay(changed(recording, tmp_path / "changed", change))
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert "the settings of the recording cannot be used" in errors


@pytest.mark.parametrize("content", [b"", b"not a recording at all", encode_head()])
@pytest.mark.parametrize("url", [[], ["iscsi://127.0.0.1:1/iqn.2026-11.io.a"]])
def test_other_files_are_refused_in_one_line(replay: Run, tmp_path: Path, content: bytes, url: list[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    code, out, errors = replay(path, *url)
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert "recording" in errors


def test_a_page_that_cannot_be_written_is_one_line(recording: Path, replay: Run) -> None:
    code, out, errors = replay(recording, "--html", "/dev/full")
    assert (code, out) == (1, "")
    assert errors == "odx-target: /dev/full: No space left on device\n"


def test_a_replay_against_another_target_has_no_page(recording: Path, replay: Run, tmp_path: Path) -> None:
    code, _, errors = replay(recording, "iscsi://127.0.0.1:1/iqn.2026-11.io.a", "--html", tmp_path / "page")
    assert code == 2
    assert "has no --html" in errors


def test_a_target_that_cannot_be_reached_is_one_line(recording: Path, replay: Run) -> None:
    code, _, errors = replay(recording, "iscsi://127.0.0.1:1/iqn.2026-11.io.a")
    assert (code, errors.count("\n")) == (1, 1)
    assert "127.0.0.1:1" in errors


def test_another_array_gives_equal_answers(recording: Path, replay: Run) -> None:
    with running_array(luns={"a": "1M", "b": "1M"}) as other:
        code, out, errors = replay(recording, f"iscsi://{other.portal}/{other.target}")
    assert code == 1, "the faults and the clock are not repeated, so the token has not expired"
    assert "status: recorded 02h" in out
    assert "operations of the operator" in errors
