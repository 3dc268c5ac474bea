"""Faults of commands, injected into a running array and seen by our initiator."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.session.session import InitiatorSession
from odx_target.target.config.settings import Config
from tests.target.raw_peer import RawPeer, logged_in
from tests.target.running import LUNS, OPTIONS, running, session_with, settled

READ_16 = cdb.read_16(0, 8)
TEST_UNIT_READY = bytes(6)
OTHER = replace(OPTIONS, isid=b"\x80other", initiator_name="iqn.2026-11.example:linux")


async def sense(session: InitiatorSession, command: bytes = TEST_UNIT_READY, lun: int = 0, **more: object) -> str:
    """Return the outcome of a command: `good`, the sense data, or the status."""
    result = await session.execute(lun, command, **more)  # type: ignore[arg-type]
    if result.sense:
        return f"{result.sense[2] & 15:X}/{result.sense[12]:02X}/{result.sense[13]:02X}"
    return "good" if result.status == 0 else f"{result.status:02X}h"


async def read(session: InitiatorSession, lun: int = 0) -> str:
    return await sense(session, READ_16, lun, data_in_bytes=4096 if lun == 0 else 32768)


async def token_of(session: InitiatorSession) -> bytes:
    parameters = populate_token_list([BlockRange(0, 64)])
    assert (await session.execute(0, cdb.populate_token(1, len(parameters)), parameters)).status == 0
    answer = await session.execute(0, cdb.receive_rod_token_information(1, 1024), data_in_bytes=1024)
    (token,) = read_rod_token_information(answer.data_in).tokens
    return token


async def write_token(session: InitiatorSession, token: bytes, list_identifier: int = 2) -> str:
    parameters = write_using_token_list(token, [BlockRange(256, 64)])
    return await sense(session, cdb.write_using_token(list_identifier, len(parameters)), data_out=parameters)


async def test_the_first_two_copies_fail_and_the_third_succeeds() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        rule = array.faults.add("command=write-using-token first=2 sense=token-expired")
        token = await token_of(session)
        assert [await write_token(session, token) for _ in range(4)] == ["5/23/07", "5/23/07", "good", "good"]
        assert (rule.hits, rule.passed) == (2, 2)


async def test_reads_take_the_short_lane_unless_a_rule_could_touch_them() -> None:
    async with running() as array, session_with(array) as session, session_with(array, OTHER) as other:
        for each in (session, other):
            await settled(each)
            await settled(each, 1)
        nexuses = {nexus.initiator_name: nexus for nexus in array.device_server.nexuses}
        ours, others = nexuses[OPTIONS.initiator_name], nexuses[OTHER.initiator_name]
        watches = array.device_server.watches_transfers
        assert not watches(ours, 0)
        for text, expected in {
            "command=write-using-token status=busy": (False, False, False),
            "command=read lun=1 status=busy": (False, True, False),
            "lun=first status=busy": (True, False, True),
            "initiator=*:linux status=busy": (False, False, True),
            "status=busy times=0x1": (True, True, True),
        }.items():
            array.faults.add(text, name="one")
            assert (watches(ours, 0), watches(ours, 1), watches(others, 0)) == expected, text
            array.faults.remove("one")
        assert array.device_server.before_command is None


async def test_a_fault_of_one_host_and_lun_leaves_the_others_alone() -> None:
    async with running() as array, session_with(array) as session, session_with(array, OTHER) as other:
        for each in (session, other):
            await settled(each)
            await settled(each, 1)
        rule = array.faults.add("command=read lun=first initiator=*:linux lba=4-9 status=task-set-full")
        assert [await read(session), await read(session, 1), await read(other, 1), await read(other)] == ["good"] * 3 + ["28h"]
        assert await sense(other, cdb.read_16(10, 8), data_in_bytes=4096) == "good"
        assert rule.hits == 1


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("error=pool-full", "7/27/07"),
        ("error=pool-busy", "08h"),
        ("error=out-of-resources", "08h"),
        ("error=damaged-block", "3/11/00"),
        ("error=unreadable", "B/11/00"),
        ("error=unwritable", "B/0C/00"),
        ("error=refused", "7/27/00"),
        ("status=reservation-conflict", "18h"),
        ("sense=5/23/0B", "5/23/0B"),
        ("sense=b/44/00 lun=first", "B/44/00"),
        ("sense=aborted-command/ack-nak-timeout", "B/4B/03"),
        ("sense=hardware-error/write-error", "4/0C/00"),
        ("sense=Medium_Error/I/O-process-terminated", "3/00/06"),
        ("sense=INVALID-TOKEN-OPERATION,-TOKEN-EXPIRED", "5/23/07"),
    ],
)
async def test_errors_and_statuses(words: str, outcome: str) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        array.faults.add(f"command=read times=1 {words}")
        assert [await read(session), await read(session)] == [outcome, "good"]


async def test_the_sense_data_of_a_damaged_block_has_its_lba() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        array.faults.add("command=read error=damaged-block")
        result = await session.execute(0, cdb.read_16(16, 8), data_in_bytes=4096)
        assert int.from_bytes(result.sense[3:7], "big") == 16


async def test_a_read_that_falls_short_has_a_residual_count() -> None:
    async with running() as array, logged_in(array) as peer:
        array.faults.add("command=read transfer=25% times=1")
        command = peer.read(READ_16, 4096)
        await peer.send(command)
        response, data = await _next(peer)
        assert len(data) == 1024
        assert (response.underflow, response.residual_count, response.status) == (True, 3072, 0)


async def test_a_delay_ends_with_the_clock(mock_clock: MockClock) -> None:
    async with running() as array, logged_in(array) as peer:
        array.faults.add("command=test-unit-ready delay=5s times=1 status=busy")
        first, second = peer.command(TEST_UNIT_READY), peer.read(cdb.inquiry(36), 36)
        await peer.send(first)
        await peer.send(second)
        assert (await peer.next() or (None,))[0].initiator_task_tag == second.initiator_task_tag  # type: ignore[union-attr]
        mock_clock.jump(4.9)
        await wait_all_tasks_blocked(0.01)
        mock_clock.jump(0.2)
        assert (await peer.answer_to(first))[0] == 8


async def test_a_held_command_waits_for_its_release(mock_clock: MockClock) -> None:
    async with running() as array, logged_in(array) as peer:
        rule = array.faults.add("command=test-unit-ready hold name=gate")
        command = peer.command(TEST_UNIT_READY)
        await peer.send(command)
        while not rule.hits:
            await trio.lowlevel.checkpoint()
        array.faults.release(rule)
        assert (await peer.answer_to(command))[0] == 0


async def test_an_unanswered_command_is_executed_and_its_task_is_gone() -> None:
    async with running() as array, logged_in(array) as peer:
        rule = array.faults.add("command=write drop times=1")
        data = b"x" * 512
        lost = peer.write(cdb.write_16(3, 1), 512)
        await peer.send(lost, data)
        command = peer.read(cdb.read_16(3, 1), 512)
        await peer.send(command)
        response, received = await _next(peer)
        assert response.initiator_task_tag == command.initiator_task_tag
        assert (received, rule.hits) == (data, 1)
        await peer.send(peer.manage(1, referenced_task_tag=lost.initiator_task_tag))
        answer = await _next(peer)
        assert answer[0].response == 1, "the task does not exist any more"


async def test_a_closed_connection_gets_no_answer_and_the_host_may_come_back() -> None:
    async with running() as array:
        async with session_with(array) as session:
            await settled(session)
            array.faults.add("command=read close times=1")
            with pytest.raises(InitiatorError):
                await read(session)
        async with session_with(array) as session:
            await settled(session)
            assert await read(session) == "good"


@pytest.mark.parametrize(
    ("fate", "outcome"), [("expire", "5/23/07"), ("lose", "5/23/04"), ("revoke", "5/23/06"), ("cancel", "5/23/08")]
)
async def test_fates_of_tokens(fate: str, outcome: str) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        token = await token_of(session)
        assert await write_token(session, token) == "good"
        array.faults.add(f"command=write-using-token times=1 tokens={fate}")
        assert await write_token(session, token) == outcome
        assert await write_token(session, await token_of(session)) == "good"


async def test_a_list_identifier_chooses_a_copy() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        token = await token_of(session)
        array.faults.add("list-identifier=0x31 sense=token-revoked")
        assert await write_token(session, token, 0x30) == "good"
        assert await write_token(session, token, 0x31) == "5/23/06"


async def test_a_restart_is_announced_and_cuts_every_connection() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        array.faults.add("command=write-16 restart")
        with pytest.raises(InitiatorError):
            await session.execute(0, cdb.write_16(0, 1), bytes(512))
        assert array.restart_wanted.is_set()


async def test_rules_of_the_configuration_are_active_from_the_start() -> None:
    config = Config(luns=LUNS, faults=({"command": "inquiry", "status": "busy", "name": "slow start"},))
    with pytest.raises(Exception, match="name"):
        async with running(config):
            pass
    config = replace(config, faults=({"command": "read", "status": "busy", "first": 1},))
    async with running(config) as array, session_with(array) as session:
        await settled(session)
        assert [await read(session), await read(session)] == ["08h", "good"]


async def test_each_fault_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, object]] = []
    async with running() as array, session_with(array) as session:
        await settled(session)
        monkeypatch.setattr(array.reporter, "report", lambda level, event, **fields: lines.append({"event": event, **fields}))
        array.faults.add("command=read status=busy first=2 name=busy-reads")
        for _ in range(3):
            await read(session)
    found = [line for line in lines if line["event"] == "fault injected"]
    assert len(found) == 2
    assert found[0]["rule"] == "busy-reads"
    assert found[0]["initiator"] == OPTIONS.initiator_name


async def _next(peer: RawPeer):  # type: ignore[no-untyped-def]
    received = await peer.next()
    assert received is not None
    return received


async def test_aborts_end_a_held_command(mock_clock: MockClock) -> None:
    async with running() as array, logged_in(array) as peer:
        rule = array.faults.add("command=test-unit-ready hold")
        command = peer.command(TEST_UNIT_READY)
        await peer.send(command)
        while not rule.hits:
            await trio.lowlevel.checkpoint()
        await peer.send(peer.manage(1, referenced_task_tag=command.initiator_task_tag))
        assert (await _next(peer))[0].response == 0
        array.faults.release(rule)
        array.faults.clear()
        assert (await peer.status_of(peer.command(TEST_UNIT_READY)))[0] == 0


async def test_a_copy_command_is_answered_before_its_work_is_done() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        token = await token_of(session)
        array.faults.add("command=write-using-token,test-unit-ready immediate")
        held = array.faults.add("copy=0% command=write-using-token hold")
        assert await write_token(session, token) == "good"
        assert await sense(session) == "good"
        while not held.hits:
            await trio.lowlevel.checkpoint()
        answer = await session.execute(0, cdb.receive_rod_token_information(2, 1024), data_in_bytes=1024)
        assert read_rod_token_information(answer.data_in).status == 0x12
        array.faults.release(held)
