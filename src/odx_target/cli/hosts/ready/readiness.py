"""The answer to the question whether the offloads of one kind of host work with a LUN."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypedDict


class HostKind(StrEnum):
    """The kinds of hosts. The value is the word on the command line."""

    WINDOWS = "windows"
    ESXI = "esxi"
    DDPT = "ddpt"


class HostAnswer(TypedDict):
    """The answer for one kind of host."""

    host: Annotated[str, "`windows`, `esxi` or `ddpt`"]
    uses: Annotated[str, "commands of the offload"]
    ready: bool
    reasons: Annotated[list[str], "why the host would copy by reads and writes; empty if it is ready"]
    notes: Annotated[list[str], "findings that do not prevent the offload"]


class ReadyAnswer(TypedDict):
    """The answers to the question if the offloads of hosts work with a LUN."""

    url: Annotated[str, "URL of the LUN, without secrets"]
    hosts: list[HostAnswer]


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer for one kind of host. The offload works if there are no `reasons` against it.

    `uses` describes the commands of the offload. `notes` are findings that do not prevent the offload.
    """

    host: HostKind
    uses: str
    reasons: Sequence[str]
    notes: Sequence[str] = ()

    @property
    def is_ready(self) -> bool:
        return not self.reasons

    def as_data(self) -> HostAnswer:
        """Return the answer as plain data."""
        return {
            "host": self.host.value,
            "uses": self.uses,
            "ready": self.is_ready,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
        }


def with_detail(reason: str, detail: str) -> str:
    """Return a reason with its detail, if there is one."""
    return f"{reason} ({detail})" if detail else reason


def lines_of(answer: Readiness) -> list[str]:
    """Return the answer as lines of text."""
    verdict = "ready" if answer.is_ready else "not ready"
    return [
        f"{answer.host.value}: {verdict} for {answer.uses}",
        *(f"  because {reason}" for reason in answer.reasons),
        *(f"  note: {note}" for note in answer.notes),
    ]
