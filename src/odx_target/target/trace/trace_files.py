"""Functions that open and close the files of a trace."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from odx_target.target.config.error import ConfigError
from odx_target.target.event_log import log
from odx_target.target.trace import pcapng
from odx_target.target.trace.record_file import RecordFile
from odx_target.target.trace.record_writer import RecordWriter
from odx_target.target.trace.tracing import Tracing, WallClock, format_time

EVERY_PEER = "*"
REASON = "for the file took them more slowly than they came"


@contextmanager
def opened_tracing(trace: Path | None, pcap: Path | None, snap_bytes: int = pcapng.MAX_SNAP_BYTES) -> Iterator[Tracing | None]:
    """Yield a `Tracing` that writes lines to `trace` and packets to `pcap`. Yield None if both are None.

    Lines are appended to the file `trace`. The old content of the file `pcap` is removed. Only the owner may read `pcap`,
    because packets contain data and tokens. Raises OSError if a file cannot be opened. Raises ConfigError if both paths are the
    same file.
    """
    if trace is None and pcap is None:
        yield None
        return
    if trace is not None and pcap is not None and _are_one_file(trace, pcap):
        raise ConfigError(f"trace and pcap are the same file, {pcap}: lines and packets need a file each")
    with ExitStack() as stack:
        lines = packets = None
        if trace is not None:
            lines = writer_of_lines(RecordFile(trace, append=True))
            stack.callback(_close, lines, trace)
        if pcap is not None:
            packets = writer_of_packets(RecordFile(pcap, append=False, header=pcapng.file_header(snap_bytes), private=True))
            stack.callback(_close, packets, pcap)
        yield Tracing(lines, packets, snap_bytes=snap_bytes)


def _close(writer: RecordWriter, path: Path) -> None:
    if not writer.close():
        log.warning("the trace is incomplete, its file accepts no data", file=str(path))


def writer_of_lines(file: RecordFile, wall_clock_ns: WallClock = time.time_ns) -> RecordWriter:
    """Return a writer that writes lines in a thread.

    If lines are omitted, the writer writes a line with the number of omitted lines instead.
    """

    def gap(count: int) -> bytes:
        return f"{format_time(wall_clock_ns())} {EVERY_PEER} -- {count} lines are left out here, {REASON}\n".encode()

    return RecordWriter(file, gap)


def writer_of_packets(file: RecordFile, wall_clock_ns: WallClock = time.time_ns) -> RecordWriter:
    """Return a writer that writes packets in a thread.

    If packets are omitted, the writer writes a block of statistics with the number of omitted packets.
    """
    dropped = 0

    def gap(count: int) -> bytes:
        nonlocal dropped
        dropped += count
        return pcapng.statistics(wall_clock_ns(), dropped, f"{count} packets are left out here, {REASON}")

    return RecordWriter(file, gap)


def _are_one_file(first: Path, second: Path) -> bool:
    """True if both paths name the same file.

    Return False for a character device such as /dev/null, because lines and packets may both go to it.
    """
    try:
        return first.samefile(second) and not first.is_char_device()
    except OSError:  # one of the files does not exist yet
        return os.path.realpath(first) == os.path.realpath(second)
