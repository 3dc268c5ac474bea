"""Two disks and a host, started as Windows starts them, with a journal of all commands."""

from dataclasses import dataclass, field

from odx_target.initiator.copying.token_commands import BlockRange
from odx_target.initiator.windows import enumeration
from odx_target.initiator.windows.copying.copy_engine import CopyReport, FileCopy, WindowsFile
from odx_target.initiator.windows.copying.layout import FileLayout
from odx_target.initiator.windows.disk import WindowsDisk
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.journal import Entry, Exchange, Journal
from odx_target.initiator.windows.rules import Finding, Rule
from odx_target.initiator.windows.settings import WindowsSettings
from odx_target.target.trace.parameter_list_text import describe_command
from tests.initiator.driving import run
from tests.initiator.windows.contiguous import contiguous
from tests.initiator.windows.scripted import GIB, MIB, Array, Clock, ScriptedDisk, ScriptedPath, limits

PT, WUT, RRTI = (0x83, 0x10), (0x83, 0x11), (0x84, 0x07)
SOURCE_BYTES, DESTINATION_BYTES = 512 * MIB, 4608 * MIB
PROFILES = {"A": (256 * MIB, GIB), "B": (0, 0), "C": (64 * MIB, 0), "D": (256 * MIB, 100 * MIB)}
"""OPTIMAL TRANSFER COUNT and MAXIMUM TOKEN TRANSFER SIZE in bytes, by name of a profile."""


def words(text: str) -> bytes:
    return bytes.fromhex(text)


@dataclass
class Bench:
    """A host and two disks. `source` and `destination` are the scripted disks, `disks` the host's objects for them."""

    profile: str = "A"
    block_bytes: int = 512
    settings: WindowsSettings = field(default_factory=WindowsSettings)
    path_count: int = 1
    entries: list[Entry] = field(default_factory=list)
    history: list[Entry] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        array = Array()
        optimal, maximum = (size // self.block_bytes for size in PROFILES[self.profile])
        self.scripted = [ScriptedDisk(array, self.clock, lun, self.block_bytes) for lun in range(2)]
        for disk in self.scripted:
            disk.pages[0x8F] = limits(optimal, maximum)
        self.source, self.destination = self.scripted
        self.paths = [[ScriptedPath(disk, f"path {at}") for at in range(self.path_count)] for disk in self.scripted]
        self.host = WindowsHost(self.clock, Journal(self.tell), self.settings)
        self.disks = [
            WindowsDisk(self.host, name, lun, paths) for lun, (name, paths) in enumerate(zip("ST", self.paths, strict=True))
        ]

    def tell(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.history.append(entry)

    def step(self, rule: Rule) -> str:
        """Return the name of the last command before the rule was met, at which Windows gives up."""
        return step_of(self.history, rule)

    def start(self) -> "Bench":
        run(enumeration.start(self.disks))
        for disk in self.scripted:
            disk.sent.clear()
        self.entries.clear()
        return self

    def layouts(self, size_bytes: int) -> list[FileLayout]:
        return [contiguous(at // self.block_bytes, size_bytes, self.block_bytes) for at in (SOURCE_BYTES, DESTINATION_BYTES)]

    def fill(self, layout: FileLayout, seed: int = 1) -> None:
        """Write marks at the ends of each 32 MiB of the source, and old content in the destination and around it."""
        every, total = 32 * MIB // self.block_bytes, layout.size_bytes // self.block_bytes
        numbers = {at + near for at in range(0, total, every) for near in (0, every - 1) if at + near < total}
        lbas = {layout.ranges(number * self.block_bytes, self.block_bytes)[0].lba for number in numbers}
        for lba in lbas | {part.lba for part in layout.extents}:
            self.source.content.write(lba, b"%15d " % (lba + seed) * (self.block_bytes // 16))

    def copy(self, size_bytes: int = GIB, layouts: list[FileLayout] | None = None) -> CopyReport:
        source, destination = layouts or self.layouts(size_bytes)
        self.fill(source)
        old = b"old content.... " * (self.block_bytes // 16)
        for part in destination.extents:
            for lba in (part.lba - 1, part.lba, part.lba + part.count_blocks // 2, part.lba + part.count_blocks):
                self.destination.content.data[lba] = old
        copy = FileCopy(self.host, WindowsFile(self.disks[0], source), WindowsFile(self.disks[1], destination))
        report = run(copy.run())
        self.check(source, destination)
        return report

    def check(self, source: FileLayout, destination: FileLayout) -> None:
        """Check that the destination has the content of the source, and that the blocks around it are unchanged."""
        equal = self.content(self.source, source) == self.content(self.destination, destination)
        assert equal, "source and destination differ"
        for part in destination.extents:
            for lba in (part.lba - 1, part.lba + part.count_blocks):
                if not any(other.lba <= lba < other.lba + other.count_blocks for other in destination.extents):
                    assert self.destination.content.data[lba].startswith(b"old")

    def content(self, disk: ScriptedDisk, layout: FileLayout) -> dict[int, bytes]:
        """Return the blocks of a file that have data, by their number in the file."""
        found: dict[int, bytes] = {}
        start = 0
        for part in layout.extents:
            found |= {start + at - part.lba: disk.content.data[at] for at in disk.content.present(part.lba, part.count_blocks)}
            start += part.count_blocks
        return found

    def commands(self, *kinds: tuple[int, int]) -> list[tuple[str, bytes]]:
        """Return disk and CDB of the token commands, in the order in which they ended."""
        return [
            (entry.disk, entry.cdb)
            for entry in self.entries
            if isinstance(entry, Exchange) and (entry.cdb[0], entry.cdb[1]) in (kinds or (PT, WUT, RRTI))
        ]

    def kinds(self) -> list[tuple[int, int]]:
        return [(cdb[0], cdb[1]) for _, cdb in self.commands()]

    def rules(self) -> list[Rule]:
        return [finding.rule for finding in self.host.journal.findings]

    def management(self) -> list[str]:
        return [what for paths in self.paths for path in paths for what in path.log]


def step_of(entries: list[Entry], rule: Rule) -> str:
    """Return the name of the last command that was sent before a rule was first met; for INQUIRY also the page."""
    met = next(at for at, entry in enumerate(entries) if isinstance(entry, Finding) and entry.rule is rule)
    cdb = next((entry.cdb for entry in reversed(entries[:met]) if isinstance(entry, Exchange)), None)
    if cdb is None:
        return "login"
    return step_name(cdb)


def step_name(cdb: bytes) -> str:
    """Return the name of a command that the tables of rules use."""
    page = f" {cdb[2]:02X}h" if cdb[0] == 0x12 and cdb[1] & 1 else ""
    return describe_command(cdb)[0] + page


def extents(block_bytes: int, *parts: tuple[int, int]) -> FileLayout:
    """Return the layout of a file whose extents are given as LBA and number of bytes."""
    return FileLayout(tuple(BlockRange(lba, size // block_bytes) for lba, size in parts), block_bytes)
