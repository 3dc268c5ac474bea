"""The runner: needs, time limits, lost connections and targets that answer garbage."""

import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from odx_target.conformance.bench import Bench
from odx_target.conformance.catalogue import CHECKS
from odx_target.conformance.check import Check, Need, Verdict
from odx_target.conformance.exchange import MAX_EXCHANGES, MAX_RECORDED_BYTES, Records
from odx_target.conformance.faults import CheckFailed, NotSupported, require_equal
from odx_target.conformance.features import Features
from odx_target.conformance.iscsi.raw_connection import RawConnection
from odx_target.conformance.path import Path
from odx_target.conformance.runner import Result, run_checks, selected
from odx_target.conformance.unit import Unit
from odx_target.initiator.copying.copy_limits import CopyLimits
from odx_target.initiator.errors import ConnectionLost, LoginFailed
from odx_target.initiator.result import CommandResult
from tests.settings import searching

Answer = Callable[[bytes, int], CommandResult]


async def no_sleep(delay_s: float) -> None:
    await trio.lowlevel.checkpoint()


@dataclass
class ScriptedPath:
    """A path whose answers are computed, and not those of an array."""

    answer: Answer

    async def execute(self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> CommandResult:
        return self.answer(cdb, data_in_bytes)

    async def reset_logical_unit(self, lun: int) -> int:
        return self.answer(b"\xff", 0).status


@dataclass
class RandomStream:
    """A stream that receives random bytes, or PDUs with random bytes in them, and then ends."""

    random: random.Random
    rest_bytes: int = 2000

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        size = min(self.rest_bytes, self.random.choice((1, 48, 100, 500)))
        self.rest_bytes -= size
        data = bytearray(self.random.randbytes(size))
        if size >= 48:
            data[0] = self.random.choice((0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3F))
            data[4:8] = bytes((0, 0, 0, self.random.choice((0, size - 48 & 0xFF))))
        return bytes(data)


@dataclass
class ScriptedEquipment:
    """Equipment without a target."""

    answer: Answer
    missing: dict[Need, str] = field(default_factory=dict)
    stream_seed: int = 0
    opened: int = 0

    @property
    def monotonic(self) -> Callable[[], float]:
        return trio.current_time

    async def features(self) -> Features:
        return Features(self.missing)

    @asynccontextmanager
    async def open(self, records: Records) -> AsyncIterator[Bench]:
        self.opened += 1
        path = ScriptedPath(self.answer)
        units = [
            Unit(
                path, lun, f"LUN {lun}", no_sleep, 512, 1 << 20, bytes.fromhex("01030010") + bytes(16), LIMITS, records=records
            )
            for lun in range(2)
        ]
        yield Bench(units[0], units[1], self.path, trio.current_time, no_sleep, self.connection, "iqn.t", "iqn.i")

    @asynccontextmanager
    async def path(self, name: str) -> AsyncIterator[Path]:
        yield ScriptedPath(self.answer)

    @asynccontextmanager
    async def connection(self, records: Records) -> AsyncIterator[RawConnection]:
        yield RawConnection(RandomStream(random.Random(self.stream_seed)), records, "iqn.t", "iqn.i", bytes(6))


IDENTITY = bytes.fromhex("01030010") + bytes(16)
LIMITS = CopyLimits(64, 3600, 120, 1 << 16, 1 << 15)


def good(cdb: bytes, data_in_bytes: int) -> CommandResult:
    return CommandResult(0, bytes(data_in_bytes))


async def verdicts(equipment: ScriptedEquipment, *checks: Check, given: Need = ~Need.NOTHING) -> list[Result]:
    seen: list[Result] = []
    results = await run_checks(checks, equipment, given=given, report=seen.append)
    assert seen == results
    return results


def check_of(run: Callable[[Bench], AbstractAsyncContextManager[None]] | object, needs: Need = Need.NOTHING) -> Check:
    return Check("area.subject.rule", "SPC-4 1", "A rule", run, needs)  # type: ignore[arg-type]


async def passing(bench: Bench) -> None:
    await bench.first.good(bytes(6))


async def failing(bench: Bench) -> None:
    await bench.first.good(bytes(6))
    raise CheckFailed("the target is wrong")


async def skipping(bench: Bench) -> None:
    raise NotSupported("nothing to check")


async def test_each_verdict_has_its_reason() -> None:
    equipment = ScriptedEquipment(good, {Need.TOKEN_COPY: "no tokens"})
    checks = [
        check_of(passing),
        check_of(failing),
        check_of(skipping),
        check_of(passing, Need.TOKEN_COPY),
        check_of(passing, Need.DESTRUCTIVE),
        check_of(passing, Need.DESTRUCTIVE | Need.TOKEN_COPY),
    ]
    results = await verdicts(equipment, *checks, given=Need.NOTHING)
    expected = [Verdict.PASS, Verdict.FAIL, Verdict.SKIP, Verdict.SKIP, Verdict.NOT_RUN, Verdict.NOT_RUN]
    assert [result.verdict for result in results] == expected
    assert [bool(result.reason) for result in results] == [verdict is not Verdict.PASS for verdict in expected]
    assert [len(result.exchanges) for result in results] == [0, 1, 0, 0, 0, 0], "only failures have the bytes"
    assert equipment.opened == 3, "a check that is not run opens no sessions"


async def test_a_lost_connection_fails_one_check_only() -> None:
    answers = iter([True, False])

    def lost_once(cdb: bytes, data_in_bytes: int) -> CommandResult:
        if next(answers, False):
            raise ConnectionLost("the target closed the connection")
        return CommandResult(0)

    first, second = await verdicts(ScriptedEquipment(lost_once), check_of(passing), check_of(passing))
    assert (first.verdict, first.reason) == (Verdict.FAIL, "the target closed the connection")
    assert second.verdict is Verdict.PASS


async def test_a_session_that_cannot_be_opened_fails_the_check() -> None:
    class Refusing(ScriptedEquipment):
        @asynccontextmanager
        async def open(self, records: Records) -> AsyncIterator[Bench]:
            raise LoginFailed("the target refuses the login")
            yield

    (result,) = await verdicts(Refusing(good), check_of(passing))
    assert (result.verdict, result.reason) == (Verdict.FAIL, "the target refuses the login")


async def test_a_target_that_cannot_be_reached_is_an_error_of_the_run() -> None:
    class Unreachable(ScriptedEquipment):
        async def features(self) -> Features:
            raise LoginFailed("no login")

    with pytest.raises(LoginFailed):
        await verdicts(Unreachable(good), check_of(passing))


async def test_a_check_that_does_not_end_fails_at_its_limit(autojump_clock: MockClock) -> None:
    async def waiting(bench: Bench) -> None:
        await bench.first.good(bytes(6))
        await trio.sleep_forever()

    began_s = trio.current_time()
    first, second = await verdicts(ScriptedEquipment(good), check_of(waiting), check_of(passing))
    assert (first.verdict, first.reason) == (Verdict.FAIL, "no end in 30 s")
    assert len(first.exchanges) == 1
    assert first.elapsed_s == trio.current_time() - began_s == 30
    assert second.verdict is Verdict.PASS


def garbage(seed: int) -> Answer:
    """Return a target that answers with random status codes, data and sense data."""
    source = random.Random(seed)

    def answer(cdb: bytes, data_in_bytes: int) -> CommandResult:
        size = min(data_in_bytes, source.choice((0, 1, 4, 8, 36, 255, 600, data_in_bytes)))
        sense = source.randbytes(source.choice((0, 3, 8, 18, 60)))
        sense = bytes((source.choice((0x70, 0x72, 0xF0)),)) + sense[1:] if sense else sense
        return CommandResult(source.choice((0, 0, 0, 0, 2, 8, 0x18, 0x28, 0x77)), source.randbytes(min(size, 5000)), sense)

    return answer


@pytest.mark.parametrize("seed", range(searching(5).max_examples))
async def test_no_garbage_ends_the_run(seed: int) -> None:
    """Every check gets a verdict, whatever the target answers."""
    checks = [check for check in CHECKS if not check.identifier.startswith("token.windows.4")]
    results = await verdicts(ScriptedEquipment(garbage(seed), stream_seed=seed), *checks)
    assert len(results) == len(checks)
    assert all("\n" not in result.reason for result in results)


async def test_a_target_of_zeros_passes_no_check_of_a_refusal() -> None:
    checks = [check for check in CHECKS if ".refuse." in check.identifier or ".invalid." in check.identifier]
    results = await verdicts(ScriptedEquipment(good), *checks)
    assert {result.verdict for result in results} <= {Verdict.FAIL, Verdict.SKIP}


@pytest.mark.parametrize(
    ("only", "areas"),
    [
        ([], {"iscsi", "primary", "block", "token", "xcopy", "reserve", "alua"}),
        (["token"], {"token"}),
        (["token.", "block.read"], {"token", "block"}),
        (["tok"], set()),
        (["token.write.zeros"], {"token"}),
    ],
)
def test_selection_by_whole_words(only: list[str], areas: set[str]) -> None:
    assert {check.area for check in selected(CHECKS, only)} == areas


def test_selection_of_one_check_does_not_select_longer_names() -> None:
    assert [check.identifier for check in selected(CHECKS, ["token.write.zeros"])] == ["token.write.zeros"]


def test_checks_that_write_are_destructive() -> None:
    """Only checks that ask for destruction may write, reserve or reset. The runner of this test refuses these commands."""
    changing = {0x0A, 0x2A, 0xAA, 0x8A, 0x41, 0x93, 0x42, 0x15, 0x55, 0x5F, 0xFF}
    sent: list[tuple[str, int]] = []

    async def run() -> None:
        for check in CHECKS:
            if check.needs & (Need.DESTRUCTIVE | Need.PORTAL):
                continue

            def answer(cdb: bytes, data_in_bytes: int, name: str = check.identifier) -> CommandResult:
                if cdb[0] in changing or cdb[:2] == b"\x83\x11":
                    sent.append((name, cdb[0]))
                return CommandResult(0, bytes(min(data_in_bytes, 4096)))

            await verdicts(ScriptedEquipment(answer), check)

    trio.run(run)
    allowed = {("token.result.refusal", 0x83)}  # refused by its LBA
    assert set(sent) <= allowed


def test_records_are_bounded() -> None:
    records = Records()
    for number in itertools.islice(itertools.count(), 200):
        records.add(f"exchange {number}", CDB=bytes(5000), data_in=b"")
    assert len(records.exchanges) == MAX_EXCHANGES
    assert records.exchanges[-1].title == "exchange 199"
    assert {name: len(data) for name, data in records.exchanges[-1].parts.items()} == {"CDB": MAX_RECORDED_BYTES}


def test_messages_show_bytes_and_large_numbers_in_hexadecimal() -> None:
    for found, expected, text in (
        (b"\x01\xff", b"", "field is 01 ff, expected "),
        (1 << 20, 5, "field is 0x100000, expected 5"),
    ):
        with pytest.raises(CheckFailed, match=text):
            require_equal("field", found, expected)
