"""Programs of other projects meet each answer of the evil target: none may crash or hang."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from odx_target.target.faults.evil import EVIL
from tests.interop.faults.evil_seen import WAITING
from tests.interop.faults.meeting import PROGRAMS, End, Meeting, meet, programs_that_meet
from tests.interop.programs import need

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-evil")]

MEETINGS = [(evil, program) for evil in EVIL for program in programs_that_meet(evil)]
SIDE_BY_SIDE = 24
"""Number of programs that run at the same time. Most of them wait most of the time, to connect again."""

Results = dict[tuple[str, str], Future[Meeting]]


@pytest.fixture(scope="module")
def results(module_path: Path) -> Iterator[Results]:
    for program in ("iscsi-ls", "iscsi-inq", "qemu-img", "libiscsi"):
        need(program)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        slowest_first = sorted(MEETINGS, key=lambda meeting: meeting in WAITING, reverse=True)
        yield {
            (evil, program): pool.submit(meet, evil, program, module_path, may_wait=(evil, program) in WAITING)
            for evil, program in slowest_first
        }


@pytest.mark.parametrize(("evil", "program"), MEETINGS)
def test_a_program_neither_crashes_nor_hangs(results: Results, evil: str, program: str) -> None:
    meeting = results[evil, program].result()
    assert meeting.end is (End.WAITS if (evil, program) in WAITING else End.ENDS), meeting.output
    assert meeting.hits, "the program has got the answer"
    assert not Path("/tmp/odx-evil").exists()


def test_a_program_that_waits_ends_with_a_timeout() -> None:
    assert {program for _, program in WAITING} <= set(PROGRAMS)
    assert not {evil for evil, program in WAITING if program.endswith(" s")}
    assert {evil for evil, program in WAITING if program != "libiscsi"} <= {
        evil for evil, program in WAITING if program == "libiscsi"
    }
