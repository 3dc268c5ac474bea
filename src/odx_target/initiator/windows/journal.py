"""The entries of a journal, in order: commands, task management, logins, remarks, and findings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from odx_target.environment import Buffer
from odx_target.initiator.result import CommandResult
from odx_target.initiator.windows.rules import Finding, Rule


@dataclass(frozen=True, slots=True)
class Exchange:
    """A command and its end. If the command has no result, `fault` is the reason."""

    at_s: float
    disk: str
    path: str
    cdb: bytes
    data_out: Sequence[Buffer]
    attribute: int
    result: CommandResult | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Management:
    """A task management function, or the loss or return of a path. `what` describes it as text. `event` is the ID of the event
    that Windows writes to the System log; 0 if Windows writes no event.
    """

    at_s: float
    path: str
    what: str
    event: int = 0

    @property
    def words(self) -> str:
        return f"{self.what} [iScsiPrt {self.event}]" if self.event else self.what


@dataclass(frozen=True, slots=True)
class LoginStep:
    """The keys of a Login Request or a Login Response."""

    at_s: float
    what: str
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Remark:
    """A text about a disk, for example about its limits for token copy."""

    at_s: float
    disk: str
    what: str


Entry: TypeAlias = Exchange | Management | LoginStep | Remark | Finding


@dataclass(slots=True)
class Journal:
    """Stores the findings, and calls `tell` with every entry."""

    tell: Callable[[Entry], None] = lambda _: None
    findings: list[Finding] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        if isinstance(entry, Finding):
            self.findings.append(entry)
        self.tell(entry)

    def find(self, rule: Rule, where: str = "", detail: str = "", position_bytes: int | None = None) -> Finding:
        """Add a finding, which means that `rule` applies to the target or the copy."""
        finding = Finding(rule, where, detail, position_bytes)
        self.add(finding)
        return finding

    @property
    def declines(self) -> list[Finding]:
        """The findings that made Windows give up or drop the connection."""
        return [finding for finding in self.findings if finding.rule.declines]
