"""The state that all disks of one ESXi host share, and its journal of commands, pieces and findings."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from odx_target.environment import Buffer
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.esxi.rules import Finding, Rule, Weight
from odx_target.initiator.esxi.settings import EsxiSettings
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.result import CommandResult, Executor, Job, Sleep, Together

MAX_LIST_IDENTIFIER_LID1 = 0xFF


@dataclass(frozen=True, slots=True)
class Exchange:
    """A command and its end. If the command has no result, `fault` is the reason."""

    at_s: float
    disk: str
    cdb: bytes
    data_out: Sequence[Buffer]
    result: CommandResult | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """The numbers of commands that a piece of a copy needed."""

    extended_copies: int = 0
    reads: int = 0
    writes: int = 0
    write_sames: int = 0


@dataclass(frozen=True, slots=True)
class PieceDone:
    """A piece of the copy that is finished."""

    at_s: float
    number: int
    size_bytes: int
    work: Work


@dataclass(frozen=True, slots=True)
class Remark:
    """A text about a disk, for example about its hardware acceleration."""

    at_s: float
    disk: str
    what: str


Entry: TypeAlias = Exchange | PieceDone | Remark | Finding


@dataclass(frozen=True, slots=True)
class Runtime:
    """A clock, and functions that run jobs.

    `together` runs jobs concurrently. `beside` runs its second job until its first job has ended. `to_its_end` runs a job for
    at most a number of seconds, even if the caller has been cancelled.
    """

    now: Callable[[], float]
    sleep: Sleep
    together: Together
    beside: Callable[[Job, Job], Coroutine[Any, Any, None]]
    to_its_end: Callable[[Job, float], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class EsxiHost:
    """One host. `tell` is called with every entry of the journal; `findings` keeps the findings."""

    runtime: Runtime
    settings: EsxiSettings = field(default_factory=EsxiSettings)
    tell: Callable[[Entry], None] = lambda _: None
    findings: list[Finding] = field(default_factory=list)
    list_identifiers: ListIdentifiers = field(default_factory=lambda: ListIdentifiers(max_identifier=MAX_LIST_IDENTIFIER_LID1))

    def find(self, rule: Rule, where: str = "", detail: str = "", position_bytes: int | None = None) -> Finding:
        """Add a finding, which means that `rule` applies to the target or the copy."""
        finding = Finding(rule, where, detail, position_bytes)
        self.findings.append(finding)
        self.tell(finding)
        return finding

    def remark(self, disk: str, what: str) -> None:
        """Add a remark to the journal."""
        self.tell(Remark(self.runtime.now(), disk, what))

    @property
    def declines(self) -> list[Finding]:
        """The findings that made ESXi give up an offload or the copy."""
        return [finding for finding in self.findings if finding.rule.weight is not Weight.NOTES]


@dataclass(frozen=True, slots=True)
class Recorder:
    """An executor that adds each command to the journal of a host."""

    host: EsxiHost
    disk: str
    executor: Executor

    async def execute(self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0) -> CommandResult:
        """Send a command, and add it to the journal. Raises the InitiatorError of a command that ends without a status."""
        now, tell = self.host.runtime.now, self.host.tell
        try:
            result = await self.executor.execute(cdb, data_out, data_in_bytes)
        except InitiatorError as error:
            tell(Exchange(now(), self.disk, cdb, data_out, None, str(error)))
            raise
        tell(Exchange(now(), self.disk, cdb, data_out, result))
        return result
