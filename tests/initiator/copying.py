"""A copy for a test: a source full of data, an empty destination, and a record of the commands that were sent."""

import random
from dataclasses import dataclass, field

from odx_target.initiator.copying.copy_job import CopyJob, CopyReport, Method
from odx_target.initiator.copying.copy_plan import plan_copy
from odx_target.initiator.copying.offload_settings import OffloadSettings
from odx_target.initiator.list_identifiers import ListIdentifiers
from tests.initiator.driving import one_by_one, probe, run
from tests.initiator.naive_target import Array, NaiveDisk, token_limits

MIB = 1 << 20


def of(cdb: bytes, command: tuple[int, int]) -> bool:
    return (cdb[0], cdb[1]) == command


def pattern(size_bytes: int, seed: int = 1) -> bytearray:
    return bytearray(random.Random(seed).randbytes(size_bytes))


@dataclass
class Copy:
    """A source full of data, an empty destination, and a copy between them."""

    size_bytes: int = 4 * MIB
    limits: bytes | None = field(default_factory=lambda: token_limits(optimal_blocks=MIB // 512))
    array: Array = field(default_factory=Array)
    progress: list[tuple[int, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = NaiveDisk(self.array, pattern(self.size_bytes), page=self.limits)
        self.destination = NaiveDisk(self.array, bytearray(self.size_bytes), page=self.limits)

    def run(self, method: Method = Method.AUTO, settings: OffloadSettings | None = None, **where: int) -> CopyReport:
        source, destination = probe(self.source, "source"), probe(self.destination, "destination")
        self.source.sent.clear()
        self.destination.sent.clear()
        plan = plan_copy(source, destination, **where)
        report = lambda count, offloaded: self.progress.append((count, offloaded))  # noqa: E731
        return run(CopyJob(source, destination, plan, one_by_one, report, ListIdentifiers(), settings).run(method))

    def check(self) -> None:
        assert self.destination.data == self.source.data
        assert sum(count for count, _ in self.progress) == self.size_bytes

    def sent(self, command: tuple[int, int]) -> list[bytes]:
        return [cdb for cdb in self.source.sent + self.destination.sent if of(cdb, command)]
