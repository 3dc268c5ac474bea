from collections.abc import Mapping

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

class SegmentMapping:
    def __init__(self, descriptor: int, size_bytes: int, /) -> None: ...
    def close(self) -> None: ...

def block_checksums(data: Buffer, /) -> list[int]: ...
def execute_usual(lane: object, view: memoryview, at: int, enough_bytes: int, /) -> tuple[int, int]: ...
