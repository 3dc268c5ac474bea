"""The checks of PDUs over TCP: our array passes them, and each finds a fault of a target."""

import random
from dataclasses import replace

import pytest
import trio

from odx_target.conformance.bench import Bench
from odx_target.conformance.catalogue import CHECKS
from odx_target.conformance.check import Check, Need, Verdict
from odx_target.conformance.features import Features
from odx_target.conformance.reservations.checks import TEST_UNIT_READY
from odx_target.conformance.reservations.commands import KEY, Action, Type, send, two_initiators
from odx_target.conformance.runner import run_checks
from odx_target.conformance.wire import WireEquipment
from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.url import Portal as Address
from odx_target.iscsi.pdu.framing import append_pdu
from odx_target.iscsi.pdu.headers import Reject
from tests.conformance.faulty_wire import CONFIG, WIRE, FaultyStream, checked, equipment
from tests.conformance.test_our_array import explained
from tests.conformance.wire_faults import FAULTS, LENIENT
from tests.settings import searching
from tests.target.running import running


@pytest.mark.parametrize("check", WIRE, ids=lambda check: check.identifier)
async def test_our_array_passes(check: Check) -> None:
    result = await checked(check)
    assert result.verdict is Verdict.PASS, explained(result)


async def test_every_other_area_over_tcp() -> None:
    """One check of each area runs over TCP too; the others run against the array in memory."""
    names = ("token.write.other-lun", "token.event.lost-path", "xcopy.copy.other-lun", "reserve.end.preempt", "block.same.16")
    checks = [check for check in CHECKS if check.identifier in names]
    async with running(CONFIG) as array:
        results = await run_checks(checks, equipment(array), given=~Need.NOTHING, report=lambda _: None)
    assert [result.verdict for result in results] == [Verdict.PASS] * len(names)


@pytest.mark.parametrize("is_lost", [False, True])
async def test_an_interrupted_check_leaves_no_reservation(is_lost: bool) -> None:
    """Other hosts could not use the LUN any more, even if the session of the check is lost."""
    async with running(CONFIG) as array, trio.open_nursery() as nursery:

        async def reserve(bench: Bench) -> None:
            async with two_initiators(bench) as (unit, _):
                await send(unit, Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS)
                assert array.logical_units[0].reservations.registrations
                if is_lost:
                    array._listener.cut_sessions(equipment(array).options.initiator_name, array.config.iqn)
                else:
                    nursery.cancel_scope.cancel()
                await unit.good(TEST_UNIT_READY)
                await trio.sleep_forever()

        check = Check("reserve.hold.here", "SPC-4 1", "A rule", reserve)
        (result,) = await run_checks([check], equipment(array), given=~Need.NOTHING, report=lambda _: None)
        assert is_lost
        assert result.verdict is Verdict.FAIL
    assert not array.logical_units[0].reservations.registrations


def test_every_check_of_pdus_has_one_fault() -> None:
    assert sorted([*FAULTS, *LENIENT]) == sorted(check.identifier for check in WIRE)


@pytest.mark.parametrize("identifier", FAULTS)
async def test_a_check_finds_its_fault(identifier: str) -> None:
    (check,) = (check for check in WIRE if check.identifier == identifier)
    result = await checked(check, FAULTS[identifier])
    assert result.verdict is Verdict.FAIL, explained(result)
    assert "cannot be decoded" not in result.reason


@pytest.mark.parametrize("identifier", LENIENT)
async def test_a_check_finds_a_connection_that_should_be_closed(identifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = (check for check in WIRE if check.identifier == identifier)
    whole, output = FaultyStream.receive_some, []  # type: ignore[var-annotated]
    append_pdu(output, LENIENT[identifier].encode_header())

    async def receive(self: FaultyStream, max_bytes: int | None = None) -> bytes:
        return await whole(self, max_bytes) or b"".join(output)

    monkeypatch.setattr(FaultyStream, "receive_some", receive)
    result = await checked(check, lambda pdu, content: [] if isinstance(pdu, Reject) else [(pdu, content)])
    assert result.verdict is Verdict.FAIL, explained(result)


class DamagingStream(FaultyStream):
    """A stream that changes some received bytes, and sometimes ends early."""

    def __init__(self, stream: trio.abc.Stream, numbers: random.Random) -> None:
        super().__init__(stream, lambda pdu, content: [(pdu, content)])
        self.numbers = numbers

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        received = bytearray(await self.stream.receive_some(max_bytes))
        if received and self.numbers.random() < DAMAGE:
            at = self.numbers.randrange(min(len(received), self.numbers.choice((48, len(received)))))
            received[at] = self.numbers.choice((0, 0xFF, self.numbers.randrange(256)))
        return b"" if self.numbers.random() < DAMAGE / 4 else bytes(received)


DAMAGE = 0.04
"""Part of the pieces of a stream that are damaged. With more damage, most sessions would end in the login."""


class WithAllFeatures(WireEquipment):
    async def features(self) -> Features:
        return Features({})


@pytest.mark.parametrize("seed", range(searching(2).max_examples))
async def test_damaged_bytes_end_no_run(seed: int) -> None:
    """Every check gets a verdict, whatever bytes arrive on its sessions."""
    numbers = random.Random(seed)
    checks = [replace(check, time_limit_s=0.5) for check in numbers.sample(CHECKS, 30) if ".life." not in check.identifier]

    async def connect(portal: Address) -> trio.abc.Stream:
        return DamagingStream(await connect_tcp(portal), numbers)

    async with running(CONFIG) as array:
        plain = equipment(array)
        options = replace(plain.options, command_timeout_s=0.2, login_timeout_s=0.2, logout_timeout_s=0.1)
        damaged = WithAllFeatures(plain.first, plain.second, options, plain.entropy, connect=connect)
        results = await run_checks(checks, damaged, given=~Need.NOTHING, report=lambda _: None)
    assert len(results) == len(checks)
    assert {result.verdict for result in results} >= {Verdict.PASS, Verdict.FAIL}
