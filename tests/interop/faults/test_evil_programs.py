"""Programs of other projects meet each answer of the evil target: none may crash or hang.

They run side by side, because most of them wait most of the time, to connect again.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from odx_target.target.faults.evil import EVIL
from tests.interop.faults.evil_seen import WAITING, is_waiting
from tests.interop.faults.meeting import PROGRAMS, WITH_TIMEOUT, End, Meeting, meet, programs_that_meet
from tests.interop.programs import need

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-evil")]

MEETINGS = [(evil, program) for evil in EVIL for program in programs_that_meet(evil)]
TIMED_MEETINGS = [(evil, program) for evil, program in MEETINGS if is_waiting(evil, program) and program in WITH_TIMEOUT]
SIDE_BY_SIDE = 24


class Meetings:
    """All meetings, begun at the same time. Those that take longest begin first."""

    def __init__(self, pool: ThreadPoolExecutor, folder: Path) -> None:
        def begin(evil: str, arguments: tuple[str, ...], *, may_wait: bool = False) -> Future[Meeting]:
            return pool.submit(meet, evil, arguments, folder, may_wait=may_wait)

        order = sorted(MEETINGS, key=lambda meeting: is_waiting(*meeting), reverse=True)
        self.plain = {
            (evil, program): begin(evil, PROGRAMS[program], may_wait=is_waiting(evil, program)) for evil, program in order
        }
        self.timed = {(evil, program): begin(evil, WITH_TIMEOUT[program]) for evil, program in TIMED_MEETINGS}


@pytest.fixture(scope="module")
def meetings(module_path: Path) -> Iterator[Meetings]:
    for program in PROGRAMS:
        need(program)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield Meetings(pool, module_path)


@pytest.mark.parametrize(("evil", "program"), MEETINGS)
def test_a_program_neither_crashes_nor_hangs(meetings: Meetings, evil: str, program: str) -> None:
    meeting = meetings.plain[evil, program].result()
    assert meeting.end is (End.WAITS if is_waiting(evil, program) else End.ENDS), meeting.output
    assert meeting.hits, "the program has got the answer"
    assert not Path("/tmp/odx-evil").exists()


@pytest.mark.parametrize(("evil", "program"), TIMED_MEETINGS)
def test_a_program_that_waits_ends_with_a_timeout(meetings: Meetings, evil: str, program: str) -> None:
    meeting = meetings.timed[evil, program].result()
    assert meeting.end is End.ENDS, meeting.output
    assert meeting.hits


def test_the_table_names_only_meetings() -> None:
    assert {(evil, program) for evil, programs in WAITING.items() for program in programs} <= set(MEETINGS)
