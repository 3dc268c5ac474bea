"""Events outside the commands of a copy: requests without answer, discovery, requested logouts, commands without session."""

import re
import struct
from collections.abc import Callable

import pytest
import trio
import trio.testing

from odx_target.cli.hosts.windows.session import discover, plan_login
from odx_target.initiator.errors import InitiatorError, LoginFailed
from odx_target.initiator.windows.journal import Entry, Journal, LoginStep
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.session.login import LoginDeclined
from odx_target.initiator.windows.settings import WindowsSettings
from odx_target.iscsi.pdu.headers import (
    LoginRequest,
    LogoutResponse,
    ScsiCommand,
    ScsiResponse,
    TaskManagementFunctionResponse,
    TextResponse,
)
from tests.initiator.naive_portal import TARGET
from tests.initiator.windows.over_wire import NAME, SIZE_BYTES, over_wire
from tests.initiator.windows.scripted import NoAnswer
from tests.initiator.windows.wire_target import PLACE, WireTarget


def nothing(encoded: bytes) -> bytes:
    return b""


Break = Callable[[WireTarget], None]


def silent(kind: type, times: int = 99) -> Break:
    return lambda target: target.changes.extend([(kind, nothing)] * times)


def answering(*pairs: tuple[str, str]) -> Break:
    return lambda target: setattr(target, "answers", list(pairs))


BROKEN_DISCOVERY: list[tuple[Rule, str, Break]] = [
    # rule, number of requests before it is met, function that breaks the rule
    (Rule.LOGIN_UNANSWERED, "LoginRequest", silent(LoginRequest)),
    (Rule.TEXT_UNANSWERED, "TextRequest", silent(TextResponse)),
    (Rule.TARGET_NOT_LISTED, "TextRequest", answering(("TargetName", "iqn.2026-11.test:other"), ("TargetAddress", "h:1,1"))),
    (Rule.TARGET_NOT_LISTED, "TextRequest", answering()),
    (Rule.NO_TAG_IN_ADDRESS, "TextRequest", answering(("TargetName", TARGET), ("TargetAddress", "192.0.2.1:3260"))),
    (Rule.NO_TAG_IN_ADDRESS, "TextRequest", answering(("TargetName", TARGET), ("TargetAddress", "2001:db8::1:3260,1"))),
]


async def declined(target: WireTarget) -> InitiatorError:
    with pytest.raises(InitiatorError) as raised:
        async with over_wire(target):
            raise AssertionError("it got in")
    return raised.value


@pytest.mark.parametrize(("rule", "step", "broken"), BROKEN_DISCOVERY)
async def test_a_discovery_that_leads_nowhere(
    rule: Rule, step: str, broken: Break, autojump_clock: trio.testing.MockClock
) -> None:
    target = WireTarget()
    broken(target)
    error = await declined(target)
    assert isinstance(error, LoginDeclined)
    assert error.finding.rule is rule
    assert str(error) == f"{PLACE}: {error.finding}", "the portal and the target are named"
    last = [type(pdu).__name__ for pdu in target.requests if "Logout" not in type(pdu).__name__][-1]
    assert last == step


async def test_a_login_that_the_target_closes_names_the_portal_and_the_target() -> None:
    async def connect(_: object) -> trio.abc.Stream:
        near, far = trio.testing.memory_stream_pair()
        await far.aclose()
        return near

    with pytest.raises(LoginFailed, match=f"^{re.escape(str(PLACE))}: .*in the middle of the login$"):
        await discover(plan_login(PLACE, 0, NAME, Journal(), connect), WindowsSettings())


@pytest.mark.parametrize("kind", [LoginRequest, TextResponse])
async def test_what_is_not_answered_once_is_asked_again(kind: type, autojump_clock: trio.testing.MockClock) -> None:
    target = WireTarget()
    silent(kind, 2)(target)
    async with over_wire(target) as wire:
        assert wire.rules() == []
    assert trio.current_time() >= 30


@pytest.mark.parametrize("address", ["192.0.2.1:3260,1", "[2001:db8::1]:3260,1", "array.example,65535", "192.0.2.1,1"])
async def test_addresses_that_are_good(address: str, autojump_clock: trio.testing.MockClock) -> None:
    target, told = WireTarget(), []
    answering(("TargetName", TARGET), ("TargetAddress", address))(target)
    async with trio.open_nursery() as nursery:
        journal = Journal(told.append)
        names = await discover(plan_login(PLACE, 0, NAME, journal, target.connecting(nursery)), WindowsSettings())
        nursery.cancel_scope.cancel()
    assert names == [TARGET]
    entries: list[Entry] = told
    assert isinstance(entries[-1], LoginStep)
    assert entries[-1].pairs == [("TargetName", TARGET), ("TargetAddress", address)]


BROKEN_RESETS: list[tuple[Rule, str, Break]] = [
    (Rule.RESET_UNANSWERED, "LOGICAL UNIT RESET", silent(TaskManagementFunctionResponse)),
]


@pytest.mark.parametrize(("rule", "step", "broken"), BROKEN_RESETS)
async def test_a_reset_without_answer_ends_in_a_new_session(
    rule: Rule, step: str, broken: Break, autojump_clock: trio.testing.MockClock
) -> None:
    target = WireTarget()
    async with over_wire(target) as wire:
        left = [None]

        def answer(cdb: bytes, data: bytes) -> None:
            if cdb[:2] == b"\x83\x11" and left:
                left.pop()
                raise NoAnswer

        target.disks[1].answer = answer
        broken(target)
        report = await wire.copy()
        target.changes.clear()
        assert wire.rules() == [Rule.COMMAND_UNANSWERED, rule, rule]
        assert [finding.detail for finding in wire.host.journal.findings][1] == step
        assert wire.events() == [39, 39, 63, 20, 34]
        assert (report.offloaded_bytes, report.stop) == (SIZE_BYTES, None)


async def test_a_logout_without_answer_is_noted(autojump_clock: trio.testing.MockClock) -> None:
    target = WireTarget()
    async with over_wire(target) as wire:
        silent(LogoutResponse)(target)
    assert wire.rules() == [Rule.LOGOUT_UNANSWERED]


async def test_a_logout_that_the_target_asks_for_costs_no_retry(autojump_clock: trio.testing.MockClock) -> None:
    target = WireTarget()

    async with over_wire(target) as wire:
        target.asks_for_logout = True
        await wire.disks[0].flush()
        sent = len(target.disks[0].sent)
        await wire.disks[0].ask(bytes(6), retries=0)
        assert wire.events() == [32, 34]
        assert len(target.disks[0].sent) == sent + 1
        assert len(wire.exchanges()) == 2
        assert wire.rules() == []


async def test_a_session_that_was_lost_between_commands_holds_the_next_one(autojump_clock: trio.testing.MockClock) -> None:
    target = WireTarget()
    async with over_wire(target) as wire:
        await target.streams[-1].aclose()
        await trio.testing.wait_all_tasks_blocked()
        completion = await wire.disks[0].ask(bytes(6), retries=0)
        assert completion.reading.is_good
        assert wire.events() == [20, 34]


def rejected(encoded: bytes) -> bytes:
    """Return a Reject of the command that this response answers."""
    header = bytes([0x01, 0x81]) + bytes(14) + encoded[16:20] + bytes(28)
    reject = (
        bytes([0x3F, 0x80, 0x0B, 0]) + struct.pack(">L", 48) + bytes(8) + b"\xff" * 4 + bytes(4) + encoded[24:36] + bytes(12)
    )
    return reject + header


async def test_a_command_that_is_rejected_is_sent_again(autojump_clock: trio.testing.MockClock) -> None:
    target = WireTarget()
    async with over_wire(target) as wire:
        target.changes.append((ScsiResponse, rejected))
        await wire.disks[0].flush()
        assert wire.rules() == [Rule.REJECTED]
        assert [entry.result is not None for entry in wire.exchanges()] == [False, True]
        assert wire.events() == []


async def test_the_host_never_pings(autojump_clock: trio.testing.MockClock) -> None:
    target = WireTarget()
    async with over_wire(target) as wire:
        await trio.sleep(3600)
        await wire.copy()
    assert not [pdu for pdu in target.requests if type(pdu).__name__ == "NopOut"]


async def test_parameter_lists_ride_in_the_command(autojump_clock: trio.testing.MockClock) -> None:
    target = WireTarget()
    async with over_wire(target) as wire:
        await wire.copy()
    sent = [pdu for pdu in target.requests if isinstance(pdu, ScsiCommand) and pdu.cdb[0] in (0x83, 0x84)]
    shapes = [(pdu.encode_header()[1], pdu.expected_data_transfer_length, pdu.data_segment_length) for pdu in sent]
    assert shapes == [(0xA1, 32, 32), (0xC1, 805, 0), (0xA1, 552, 552)]
