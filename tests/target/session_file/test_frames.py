"""The format of recordings: every cut and every changed bit is noticed."""

import math
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from odx_target.target.session_file.frame_reader import decode_recording, read_recording
from odx_target.target.session_file.frames import (
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    MAX_TIME_S,
    Frame,
    FrameFlag,
    FrameKind,
    RecordingDamaged,
    document,
    encode_frame,
    encode_head,
)

times = st.floats(0, MAX_TIME_S)
frames = st.builds(
    Frame,
    st.sampled_from(FrameKind),
    st.integers(0, 0xFFFFFFFF),
    times,
    times,
    st.binary(max_size=100),
    st.sampled_from([FrameFlag.NONE, FrameFlag.BUSY, FrameFlag.BUSY | FrameFlag.END_OF_OUTPUT]),
)
END = Frame(FrameKind.ENDED, content=document({"reason": "end"}))


def file_of(*content: Frame) -> bytes:
    return encode_head() + b"".join(encode_frame(number, frame) for number, frame in enumerate(content))


def read(data: bytes) -> tuple[list[Frame], str | None]:
    found = decode_recording(data)
    return list(found.frames), found.problem


@given(st.lists(frames, max_size=5))
def test_frames_are_read_as_they_were_written(content: list[Frame]) -> None:
    assert read(file_of(*content, END)) == ([*content, END], None)


def test_a_file_can_be_cut_anywhere() -> None:
    content = [Frame(FrameKind.RECEIVED, 1, 0.5, 0.25, bytes(number)) for number in range(5)]
    whole = file_of(*content)
    ends = [len(file_of(*content[:count])) for count in range(len(content) + 1)]
    for size in range(HEAD_BYTES, len(whole) + 1):
        found, problem = read(whole[:size])
        assert found == content[: sum(end <= size for end in ends) - 1]
        assert problem is not None
        assert ("inside frame" in problem) is (size not in ends)


def test_every_changed_bit_is_noticed() -> None:
    content = [Frame(FrameKind.SENT, 1, content=b"answer"), Frame(FrameKind.RECEIVED, 1, content=b"question"), END]
    whole = file_of(*content)
    for position in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[position] ^= 1 << bit
            try:
                found, problem = read(bytes(changed))
            except RecordingDamaged:
                assert position < HEAD_BYTES
            else:
                assert problem is not None
                assert found == content[: len(found)]


def test_a_missing_frame_is_noticed() -> None:
    content = [encode_frame(0, END), encode_frame(2, END)]
    assert read(encode_head() + b"".join(content))[1] == "frame 1 is missing: frame 2 comes instead"


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (b"", "not a recording"),
        (b"PK\3\4 something else", "not a recording"),
        (encode_head()[:-1] + b"\0", "head of the recording is damaged"),
        (encode_head().replace(b"\r\n", b"\n") + b"\0", "not a recording"),
    ],
)
def test_other_files_are_refused(head: bytes, problem: str) -> None:
    with pytest.raises(RecordingDamaged, match=problem):
        decode_recording(head)


def test_a_later_version_is_refused() -> None:
    unchecked = struct.pack(">8sHH", encode_head()[:8], 2, 0)
    with pytest.raises(RecordingDamaged, match="version 2 of the format; this program reads version 1"):
        decode_recording(unchecked + struct.pack(">I", crc32c(unchecked)))


def test_a_length_at_and_past_the_limit() -> None:
    frame = bytearray(encode_frame(0, END))
    for size_bytes, problem in ((MAX_FRAME_BYTES + 20, "inside frame 0"), (MAX_FRAME_BYTES + 21, "cannot have")):
        frame[:4] = size_bytes.to_bytes(4, "big")
        found = read(encode_head() + frame)[1]
        assert found is not None
        assert problem in found


@pytest.mark.parametrize("seconds", [math.inf, math.nan, -1.0, math.nextafter(MAX_TIME_S, math.inf)])
@pytest.mark.parametrize("name", ["array_s", "connections_s"])
def test_impossible_times_are_damage(seconds: float, name: str) -> None:
    """A clock at the time "infinity" would wake sleeping tasks for ever."""
    found, problem = read(file_of(END, replace(Frame(FrameKind.TIME), **{name: seconds})))
    assert (found, problem) == ([END], "frame 1 is damaged: its times cannot be used")


def test_an_unknown_kind_is_damage() -> None:
    frame = bytearray(encode_frame(0, END))
    frame[4] = 200
    frame[12:16] = crc32c(frame[16:], crc32c(frame[:12])).to_bytes(4, "big")
    assert read(encode_head() + frame)[1] == "frame 0 has the kind 200, which is not known"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(RecordingDamaged, match="the file is empty"):
        read_recording(tmp_path / "empty")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b'"text"'])
def test_a_frame_without_a_json_object_is_damage(content: bytes) -> None:
    with pytest.raises(RecordingDamaged, match="has no JSON"):
        Frame(FrameKind.OPERATION, content=content).document()


def test_data_follows_the_json_object() -> None:
    frame = Frame(FrameKind.CONTENT, content=document({"lun": "a"}, b"\0data\0"))
    assert (frame.document(), frame.data()) == ({"lun": "a"}, b"\0data\0")


def test_frames_of_a_file_are_read_when_they_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    content = [Frame(FrameKind.RECEIVED, 1, content=bytes([number]) * (1 << 18)) for number in range(64)]
    path.write_bytes(file_of(*content, END))
    tracemalloc.start()
    try:
        found = read_recording(path)
        assert sum(len(frame.content) for frame in found.frames) > 64 << 18
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert (found.problem, len(found.frames)) == (None, 65)
    assert (found.frames[3], found.frames[-1], found.frames[62:]) == (content[3], END, [*content[62:], END])
    with pytest.raises(IndexError):
        found.frames[65]


@pytest.mark.parametrize("change", ["other", "shorter"])
def test_a_file_that_changes_while_it_is_read_is_damage(tmp_path: Path, change: str) -> None:
    path = tmp_path / "recording"
    first, second = Frame(FrameKind.TIME), Frame(FrameKind.RECEIVED, content=b"data")
    path.write_bytes(file_of(first, second, END))
    found = read_recording(path)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"data")] ^= 1
    path.write_bytes(encode_head() if change == "shorter" else damaged)
    with pytest.raises(RecordingDamaged):
        list(found.frames)
