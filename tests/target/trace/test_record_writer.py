"""If a file is slower than its records, no caller waits, memory is limited, and the file shows how many records are missing."""

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from odx_target.iscsi.pdu.headers import NopOut
from odx_target.target.trace import record_writer
from odx_target.target.trace.record_file import RecordFile
from odx_target.target.trace.record_writer import RecordWriter
from odx_target.target.trace.tcp_segments import SYN
from odx_target.target.trace.trace_files import writer_of_lines
from tests.target.trace.packets import captured, missing_packets, segment
from tests.target.trace.wire import FLUSH_TIMEOUT_S, Traced, encode


class SlowFile(RecordFile):
    """A file that accepts records only when the test allows it, and then all of them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, append=False)
        self.may_write = threading.Event()
        self.is_asked = threading.Event()

    def write(self, record: bytes) -> bool:
        self.is_asked.set()
        assert self.may_write.wait(FLUSH_TIMEOUT_S)
        return super().write(record)


def gap(count: int) -> bytes:
    return f"({count} left out)\n".encode()


@given(st.lists(st.integers(1, 60), max_size=60), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_each_record_is_written_or_counted_in_its_place(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], max_queued_bytes: int
) -> None:
    file = SlowFile(tmp_path_factory.mktemp("trace") / "file")
    writer = RecordWriter(file, gap, max_queued_bytes)
    for number, size in enumerate(sizes):
        if number == len(sizes) // 2:
            file.may_write.set()
            assert writer.flush(FLUSH_TIMEOUT_S)
            file.may_write.clear()
        writer.write(f"{number}".ljust(size).encode() + b"\n", 1)
    file.may_write.set()
    writer.close()
    number = 0
    for line in file.path.read_text().splitlines():
        if line.startswith("("):
            number += int(line[1:].split()[0])
        else:
            assert int(line) == number
            number += 1
    assert number == len(sizes)


def test_a_file_that_takes_nothing_costs_no_more_than_the_queue(tmp_path: Path) -> None:
    file = SlowFile(tmp_path / "file")
    writer = RecordWriter(file, gap, 1000)
    writer.write(bytes(10), 1)
    assert file.is_asked.wait(FLUSH_TIMEOUT_S)
    taken = [writer.write(bytes(100), 1) for _ in range(1000)]
    assert taken == [True] * 10 + [False] * 990
    assert writer._queued_bytes == 1000
    file.may_write.set()
    writer.close()
    assert file.path.read_bytes().endswith(b"(990 left out)\n")


def test_a_disk_that_is_full_is_told_of_once_and_tried_again_when_asked() -> None:
    writer = writer_of_lines(RecordFile(Path("/dev/full"), append=True))
    with capture_logs() as logs:
        for _ in range(5):
            writer.write(b"a\n", 1)
            assert writer.flush(FLUSH_TIMEOUT_S)
        assert [entry["log_level"] for entry in logs] == ["warning"]
        writer.retry()
        writer.write(b"a\n", 1)
        assert writer.flush(FLUSH_TIMEOUT_S)
        writer.close()
    assert [entry["log_level"] for entry in logs] == ["warning"] * 2


def test_what_a_full_disk_did_not_take_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RecordFile(tmp_path / "file", append=False)
    writer = RecordWriter(file, gap)
    writer.write(b"first\n", 1)
    assert writer.flush(FLUSH_TIMEOUT_S)
    with monkeypatch.context() as full, capture_logs():

        def refuse(_descriptor: int, _data: bytes) -> int:
            raise OSError(28, "No space left on device")

        full.setattr(RecordFile, "_write_all", lambda _self, data: refuse(0, data))
        writer.write(b"second\n", 1)
        assert writer.flush(FLUSH_TIMEOUT_S)
        assert not writer.write(b"third\nfourth\n", 2)
    writer.retry()
    writer.write(b"fifth\n", 1)
    writer.close()
    assert file.path.read_text() == "first\n(3 left out)\nfifth\n"


def test_the_end_does_not_wait_for_a_file_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_writer, "CLOSE_TIMEOUT_S", 0.01)
    file = SlowFile(tmp_path / "file")
    writer = RecordWriter(file, gap)
    writer.write(b"a", 1)
    assert not writer.close()
    file.may_write.set()
    writer._thread.join()
    file.close()


def test_both_files_say_what_they_lack_and_packets_begin_anew_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, asked = threading.Event(), threading.Semaphore(0)
    write = RecordFile.write

    def wait_and_write(file: RecordFile, record: bytes) -> bool:
        asked.release()
        assert may_write.wait(FLUSH_TIMEOUT_S)
        return write(file, record)

    monkeypatch.setattr(RecordFile, "write", wait_and_write)
    traced = Traced(tmp_path)
    traced._lines._max_queued_bytes = traced._packets._max_queued_bytes = 2000
    tap = traced.connected()
    for number in range(100):
        tap.received(memoryview(encode(NopOut(cmd_sn=number))))
        if not number:
            assert asked.acquire(timeout=FLUSH_TIMEOUT_S)
            assert asked.acquire(timeout=FLUSH_TIMEOUT_S)
    may_write.set()
    traced._flush()
    tap.received(memoryview(encode(NopOut(cmd_sn=100))))
    lines, packets = traced.lines, traced.packets
    (missing,) = [line for line in lines if "left out" in line]
    count_missing = int(missing.split()[3])
    assert count_missing > 0
    assert len(lines) - 1 + count_missing == 102
    assert lines[-1].endswith("CmdSN=100 ExpStatSN=0")
    segments = [segment(packet.data) for packet in captured(packets)]
    assert sum(1 for each in segments if each.flags & SYN) == 4
    assert sum(1 for each in segments if each.payload) + missing_packets(packets) == 101
    traced.close()
