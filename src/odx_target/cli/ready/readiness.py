"""The answer to the question whether the offloads of one kind of host work with a LUN."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class HostKind(StrEnum):
    """The kinds of hosts. The value is the word on the command line."""

    WINDOWS = "windows"
    ESXI = "esxi"
    DDPT = "ddpt"


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

    def as_data(self) -> dict[str, object]:
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
