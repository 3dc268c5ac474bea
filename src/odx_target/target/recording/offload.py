"""Answers to the question whether a copy was offloaded: what the array copied, what it refused, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from odx_target.copymgr.commands.parameter_lists import CDB_LAYOUTS, EXTENDED_COPIES, ServiceAction
from odx_target.copymgr.counters import CounterData
from odx_target.copymgr.refusal import words_of
from odx_target.target.recording.seen_command import SeenCommand

POPULATE_TOKEN = CDB_LAYOUTS[ServiceAction.POPULATE_TOKEN][1]
WRITE_USING_TOKEN = CDB_LAYOUTS[ServiceAction.WRITE_USING_TOKEN][1]
COPY_COMMANDS = {POPULATE_TOKEN, WRITE_USING_TOKEN, *(CDB_LAYOUTS[action][1] for action in EXTENDED_COPIES)}
"""Names of the commands with which a host asks the array to copy."""


@dataclass(frozen=True, slots=True)
class RefusedCopy:
    """A copy command that did not end with GOOD.

    `reason` is the reason in words, with the field and the limit if there are any. After such a command, a host usually copies
    by reads and writes.
    """

    command: SeenCommand
    reason: str

    def __str__(self) -> str:
        return f"{self.command.operation} by {self.command.initiator}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Offload:
    """The offloaded copies of an array since its start or its last reset.

    `tokens` is the number of tokens that were made. `shared_bytes` were copied by references to the same blocks, `zeroed_bytes`
    were written as zeros by the zero token, and `moved_bytes` were copied inside the array. `writes` and `copies` are the
    numbers of WRITE USING TOKEN and EXTENDED COPY commands that ended with GOOD.
    """

    tokens: int
    shared_bytes: int
    zeroed_bytes: int
    moved_bytes: int
    writes: int
    copies: int
    refused: Sequence[RefusedCopy]
    read_after_refusal_bytes: Mapping[str, int] = field(default_factory=dict)
    """Bytes that an initiator has read by READ commands since its first refused copy command, by the initiator's name."""
    written_after_refusal_bytes: Mapping[str, int] = field(default_factory=dict)
    """Bytes that an initiator has written by WRITE commands since its first refused copy command."""

    @property
    def copied_bytes(self) -> int:
        """All bytes that the array copied for hosts."""
        return self.shared_bytes + self.zeroed_bytes + self.moved_bytes

    @property
    def fell_back(self) -> bool:
        """True if an initiator has read and written data after one of its copy commands was refused."""
        return any(self.read_after_refusal_bytes.get(name) for name in self.written_after_refusal_bytes)

    def __str__(self) -> str:
        lines = [f"{self.copied_bytes} bytes copied by the array, {self.tokens} tokens, {len(self.refused)} refusals"]
        return "\n".join([*lines, *(f"  {refusal}" for refusal in self.refused)])


def summarize(commands: Sequence[SeenCommand], counters: CounterData, refusals: Sequence[Mapping[str, object]]) -> Offload:
    """Summarize the offloaded copies from the recorded commands, the counters of the copy manager, and its latest refusals."""
    reads, writes = _transfers_after_refusals(commands)
    good = [command.operation for command in commands if command.is_good]
    return Offload(
        tokens=counters["tokens_made"],
        shared_bytes=counters["shared_bytes"],
        zeroed_bytes=counters["zeroed_bytes"],
        moved_bytes=counters["moved_bytes"],
        writes=good.count(WRITE_USING_TOKEN),
        copies=sum(good.count(CDB_LAYOUTS[action][1]) for action in EXTENDED_COPIES),
        refused=_refused(commands, _reasons(refusals)),
        read_after_refusal_bytes=reads,
        written_after_refusal_bytes=writes,
    )


def _is_refused(command: SeenCommand) -> bool:
    return command.operation in COPY_COMMANDS and command.status is not None and not command.is_good


def _refused(commands: Sequence[SeenCommand], reasons: dict[tuple[str, str, str], list[str]]) -> tuple[RefusedCopy, ...]:
    """Return the refused commands with their reasons. The copy manager keeps only its latest reasons, so begin at the end."""
    latest_first = [RefusedCopy(command, _reason(command, reasons)) for command in reversed(commands) if _is_refused(command)]
    return tuple(reversed(latest_first))


def _transfers_after_refusals(commands: Sequence[SeenCommand]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the bytes that each initiator has read and written since its first refused copy command."""
    reads, writes = dict[str, int](), dict[str, int]()
    refused: set[str] = set()
    for command in commands:
        if _is_refused(command):
            refused.add(command.initiator)
        elif command.initiator in refused and command.is_good:
            for word, sums in (("READ(", reads), ("WRITE(", writes)):
                if command.operation.startswith(word):
                    moved_bytes = command.expected_bytes - max(command.residual_bytes, 0)
                    sums[command.initiator] = sums.get(command.initiator, 0) + moved_bytes
    return reads, writes


def _reasons(refusals: Sequence[Mapping[str, object]]) -> dict[tuple[str, str, str], list[str]]:
    """Return the reasons in words by command, initiator and condition, the oldest first.

    A copy that failed in the background is left out, because its command ended with GOOD.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for refusal in (each for each in refusals if not each["in_background"]):
        service_action, initiator, condition = (str(refusal[name]) for name in ("command", "initiator", "condition"))
        found.setdefault((service_action, initiator, condition.upper()), []).append(words_of(refusal))
    return found


def _reason(command: SeenCommand, reasons: dict[tuple[str, str, str], list[str]]) -> str:
    """Return the reason of the copy manager for a refused command, or else its status and sense data."""
    action = next((action.name for action, row in CDB_LAYOUTS.items() if row[1] == command.operation), "")
    ending = str(command.status) if command.sense is None else command.sense.name
    known = reasons.get((action, command.initiator, ending))
    if known:
        return known.pop()
    return str(command.status if command.sense is None else command.sense)
