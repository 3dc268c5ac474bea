from array import array
from collections.abc import Callable, Mapping, Sequence

from odx_target.environment import Buffer

class BlockReader:
    def __init__(
        self,
        tables: Mapping[int, object],
        segments: Mapping[int, object],
        filling: object,
        segment_type: type,
        leaf_bits: int,
        /,
    ) -> None: ...
    def read_now(self, block_map: object, block: int, count_blocks: int, /) -> bytearray | None: ...
    def view_now(self, block_map: object, offset_bytes: int, size_bytes: int, /) -> list[memoryview] | None: ...
    def gather_now(self, segment: int, runs: Sequence[tuple[int, ...]], /) -> bytearray | None: ...

class BlockWriter:
    def __init__(
        self, filling: object, require_data: Callable[[int], None], busy: type[Exception], tally: object, leaf_bits: int, /
    ) -> None: ...
    def write_now(self, block_map: object, volume: int, block: int, data: Buffer, /) -> bool: ...
    def write_bytes_now(self, reader: object, block_map: object, volume: int, offset_bytes: int, data: Buffer, /) -> bool: ...

class BatchWriter:
    def __init__(self, log: object, /) -> None: ...
    def commit_now(self) -> bool: ...

class DirectMember:
    def __init__(
        self,
        loop: object,
        received: object,
        protocol: object,
        timers: object,
        writer: object,
        executor: object,
        unhandled: object,
        tally: object,
        sender: object,
        unsent: object,
        pool: object,
        clock: Callable[[], float],
        descriptor: int,
        min_buffer_bytes: int,
        early_send_bytes: int,
        /,
    ) -> None: ...
    def receive_now(self) -> bool: ...
    def send_now(self) -> None: ...
    def fail(self, error: Exception, /) -> None: ...

class SegmentMapping:
    has_views: bool
    is_writable: bool
    size_bytes: int
    def __init__(self, descriptor: int, size_bytes: int, is_writable: bool = False, /) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def close(self) -> None: ...
    def populate(self) -> None: ...
    def write_now(self, offset_bytes: int, buffers: list[Buffer], /) -> bool: ...

def encode_header(
    pool_identity: bytes,
    epoch: int,
    segment: int,
    block: int,
    first_osn: int,
    durable_osn: int,
    previous_checksum: int,
    flags: int,
    records: list[bytes],
    data_checksums: array[int],
    blocks: int,
    /,
) -> tuple[bytearray, int]: ...
def end_batch(tally: object, /) -> None: ...
def block_checksums(data: Buffer, /) -> list[int]: ...
def place_runs(cells: object, runs: Sequence[tuple[int, ...]], place: int, /) -> int: ...
def crc32c(data: Buffer, checksum: int = 0, /) -> int: ...
def copy_if_view(buffer: Buffer, /) -> Buffer: ...
def execute_usual(lane: object, view: memoryview, at: int, enough_bytes: int, /) -> tuple[int, int]: ...
