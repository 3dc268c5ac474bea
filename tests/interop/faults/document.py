"""docs/faults-seen.md, written by `python -m tests.interop.faults.document` from the tables that the tests check."""

from collections.abc import Iterable
from pathlib import Path

from odx_target.target.faults.evil import EVIL
from odx_target.target.faults.names import sense_codes
from tests.interop.faults.evil_seen import is_waiting
from tests.interop.faults.kinds import KINDS
from tests.interop.faults.linux_seen import DISCOVERIES
from tests.interop.faults.linux_seen import KINDS as LINUX_KINDS
from tests.interop.faults.meeting import PROGRAMS, WITH_TIMEOUT, programs_that_meet
from tests.interop.faults.seen import EXPECTED, SEEN_BY_LIBISCSI

DOCUMENT = Path(__file__).parents[3] / "docs" / "faults-seen.md"

TEXT = """# Faults that were injected and seen

The tests inject each fault below into a running array, and compare what the initiators see with these tables. The words of
the faults are explained in [faults.md](faults.md). This page is written by `python -m tests.interop.faults.document`. What
Windows and ESXi notice of each personality is in [personalities.md](personalities.md#how-hosts-notice-them).

## Each kind of fault

Each word of the table "Which fault" is injected once at each of its points, with `times=1`. Afterwards, a new session must
read the right data. `tests/interop/faults/test_seen.py` does this with libiscsi and with the initiator of this project, with
a timeout of one second.

{kinds}

## Linux with open-iscsi

`tests/interop/guest/test_faults.py` injects faults into the commands and logins of a Linux guest. The sessions have digests.
"After a new login" means that the kernel has ended the connection, has logged in again, and has repeated the command.

{linux}

## Each sense data and each status

Each fault is injected into a READ(10), and the next READ(10) must succeed. The table has the sense data that the array itself
sends. In the same way, both initiators see all {codes} additional sense codes that SPC-4 names. The sense keys take turns.

{reads}

## Hostile answers

Each program gets each answer of the evil target three times, if its use of the target can get it. Then the target is good
again. No program may crash or go on without end. "Waits" means that the program stood still for five seconds with an open
connection, and was ended from outside: the command that it waits for has no answer. The same program with a timeout of one
second was seen to end each time; iscsi-ls and iscsi-inq cannot have one. `libiscsi` is a program that discovers, reads and
writes (`tests/interop/faults/libiscsi_host.py`). "-" means that the program cannot get this answer.
`tests/interop/faults/test_evil_programs.py` does this.

`tests/target/faults/test_evil.py` does it with the initiator of this project, which always ends, because all its requests have
timeouts. `tests/interop/guest/test_faults.py` does it in a Linux guest, once each. There the table has the exit status of
`iscsiadm -m discovery`, or "commands end" if reads and writes have ended after the answer, and the session could be used
again. The kernel and iscsid survive all of them.

{evil}
"""


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(columns)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _kinds() -> str:
    rows = ((f"`{row.rule}`", str(row.act), row.ours, row.libiscsi) for row in KINDS)
    return _table(("rule", "act of the host", "initiator of this project", "libiscsi"), rows)


def _linux() -> str:
    return _table(("rule", "act of the host", "Linux"), ((f"`{row.rule}`", row.act, row.seen) for row in LINUX_KINDS))


def _reads() -> str:
    rows = ((f"`{fault}`", outcome, SEEN_BY_LIBISCSI[fault]) for fault, outcome in EXPECTED.items())
    return _table(("fault", "initiator of this project", "libiscsi"), rows)


def _evil() -> str:
    rows = []
    for evil in EVIL:
        meeting = programs_that_meet(evil)
        ends = [_end(evil, name) if name in meeting else "-" for name in PROGRAMS]
        linux = f"exit status {DISCOVERIES[evil]}" if evil in DISCOVERIES else "commands end"
        rows.append((f"`{evil}`", "ends", *ends, linux))
    return _table(("answer", "initiator of this project", *PROGRAMS, "Linux"), rows)


def _end(evil: str, program: str) -> str:
    if not is_waiting(evil, program):
        return "ends"
    return "waits; ends with a timeout" if program in WITH_TIMEOUT else "waits"


def generated() -> str:
    """Return the page."""
    return TEXT.format(codes=len(sense_codes()), kinds=_kinds(), linux=_linux(), reads=_reads(), evil=_evil())


if __name__ == "__main__":
    DOCUMENT.write_text(generated())
