"""The files of a trace, opened and closed."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from odx_target.target.trace import pcapng
from odx_target.target.trace.record_file import PRIVATE_MODE, RecordFile
from odx_target.target.trace.tracing import Tracing


@contextmanager
def opened_tracing(trace: Path | None, pcap: Path | None, snap_bytes: int = pcapng.MOST_SNAP_BYTES) -> Iterator[Tracing | None]:
    """A tracing that writes lines to `trace` and packets to `pcap`; None if neither is named.

    Lines are added to what is there; packets begin anew, and only their owner may read them: they carry data and tokens.
    Raises OSError if a file cannot be opened.
    """
    if trace is None and pcap is None:
        yield None
        return
    with ExitStack() as stack:
        lines = packets = None
        if trace is not None:
            lines = RecordFile(trace, append=True)
            stack.callback(lines.close)
        if pcap is not None:
            packets = RecordFile(pcap, append=False, header=pcapng.file_header(snap_bytes), mode=PRIVATE_MODE)
            stack.callback(packets.close)
        yield Tracing(lines, packets, snap_bytes=snap_bytes)
