"""Faults of PDUs and logins, injected into a running array."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.errors import InitiatorError
from odx_target.iscsi.pdu.headers import NopIn, NopOut, Pdu, ReadyToTransfer, ScsiResponse
from odx_target.iscsi.pdu.opcodes import LoginStatus
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal
from odx_target.target.trace.pcapng import MAX_SNAP_BYTES
from odx_target.target.trace.trace_files import opened_tracing
from tests.target.raw_peer import RawPeer, connected, logged_in
from tests.target.running import LUNS, OPTIONS, running, session_with, settled

P = TypeVar("P", bound=Pdu)
TEST_UNIT_READY = bytes(6)
WITH_DIGESTS = replace(OPTIONS, header_digest="CRC32C", data_digest="CRC32C")


async def bytes_of_answer(array: Array, rule: str, size_bytes: int | None = None) -> bytes:
    """Return the bytes of the answer to a TEST UNIT READY while a rule is there, up to the end of the connection or a size."""
    async with logged_in(array) as peer:
        array.faults.add(rule, name="one")
        await peer.send(peer.command(TEST_UNIT_READY))
        received = b""
        while size_bytes is None or len(received) < size_bytes:
            more = await peer.stream.receive_some(4096)
            if not more:
                break
            received += more
        array.faults.remove("one")
        return received


async def test_the_bytes_of_a_pdu_are_changed() -> None:
    async with running() as array:
        plain = await bytes_of_answer(array, "pdu=r2t drop", 48)
        assert len(plain) == 48
        for rule, expected in {
            "pdu=scsi-response corrupt=3": plain[:3] + bytes([plain[3] ^ 0xFF]) + plain[4:],
            "pdu=scsi-response truncate=20 cut=20": plain[:20],
            "pdu=scsi-response cut=20": plain[:20],
            "pdu=scsi-response close": b"",
            "pdu=scsi-response duplicate=2": plain * 3,
            "pdu=any set=residual_count:7": plain[:44] + (7).to_bytes(4),
            "pdu=scsi-response set=status:8,underflow:1": plain[:1] + bytes([plain[1]]) + plain[2:],
        }.items():
            found = await bytes_of_answer(array, rule, len(expected) or None)
            if "underflow" in rule:
                assert (found[3], found[1] & 0x02) == (8, 2)
            else:
                assert found == expected, rule


async def test_all_rules_that_fire_at_a_pdu_change_it() -> None:
    async with running() as array:
        plain = await bytes_of_answer(array, "pdu=r2t drop", 48)
        changed = plain[:3] + bytes([plain[3] ^ 0xFF]) + plain[4:]
        array.faults.add("pdu=scsi-response duplicate=1")
        assert await bytes_of_answer(array, "pdu=scsi-response corrupt=3", 96) == changed * 2
        assert await bytes_of_answer(array, "pdu=scsi-response duplicate=2", 4 * 48) == plain * 4


async def test_a_stalled_pdu_goes_on_after_its_release() -> None:
    async with running() as array, logged_in(array) as peer:
        array.faults.add("pdu=scsi-response stall=10 times=1", name="stuck")
        await peer.send(peer.command(TEST_UNIT_READY))
        received = await peer.stream.receive_some(4096)
        assert len(received) == 10
        array.faults.release(array.faults["stuck"])
        await peer.send(peer.command(TEST_UNIT_READY))
        assert len(await peer.stream.receive_some(4096)) == 48


async def test_a_lost_answer_and_two_answers_in_the_wrong_order() -> None:
    async with running() as array, logged_in(array) as peer:
        rule = array.faults.add("pdu=scsi-response drop times=1")
        lost, first, second = (peer.command(TEST_UNIT_READY) for _ in range(3))
        await peer.send(lost)
        while not rule.hits:
            await trio.lowlevel.checkpoint()
        array.faults.add("pdu=scsi-response nth=1 reorder")
        await peer.send(first)
        await peer.send(second)
        tags = [(await _take(peer, ScsiResponse)).initiator_task_tag for _ in range(2)]
        assert tags == [second.initiator_task_tag, first.initiator_task_tag]


async def test_a_pdu_of_the_host_is_lost_or_changed_or_repeated() -> None:
    async with running() as array, logged_in(array) as peer:
        rule = array.faults.add("pdu=scsi-command times=1 set=lun:0x0063000000000000")
        status, sense = await peer.status_of(peer.command(TEST_UNIT_READY))
        assert (status, sense[12], rule.hits) == (2, 0x25, 1)
        array.faults.add("pdu=nop-out times=1 duplicate=1")
        await peer.send(NopOut(immediate=True, initiator_task_tag=77, target_transfer_tag=0xFFFFFFFF, cmd_sn=peer.cmd_sn))
        assert [(await _take(peer, NopIn)).initiator_task_tag for _ in range(2)] == [77, 77]


async def test_an_r2t_asks_for_no_data() -> None:
    async with running() as array, logged_in(array, keys={"ImmediateData": "No", "InitialR2T": "Yes"}) as peer:
        array.faults.add("pdu=r2t set=desired_data_transfer_length:0,buffer_offset:4096")
        await peer.send(peer.write(cdb.write_16(0, 8), 4096))
        asked = await _take(peer, ReadyToTransfer)
        assert (asked.desired_data_transfer_length, asked.buffer_offset) == (0, 4096)


@pytest.mark.parametrize("digest", ["header", "data"])
async def test_a_wrong_digest_is_noticed_by_the_initiator(digest: str) -> None:
    async with running() as array:
        async with session_with(array, WITH_DIGESTS) as session:
            await settled(session)
            assert (await session.execute(0, cdb.read_16(0, 8), data_in_bytes=4096)).status == 0
            array.faults.add(f"pdu=data-in digest={digest} times=1")
            with pytest.raises(InitiatorError, match="digest"):
                await session.execute(0, cdb.read_16(0, 8), data_in_bytes=4096)
        async with session_with(array, WITH_DIGESTS) as session:
            await settled(session)
            assert (await session.execute(0, cdb.read_16(0, 8), data_in_bytes=4096)).status == 0


async def test_a_delayed_pdu_keeps_the_order() -> None:
    async with running() as array, logged_in(array) as peer:
        array.faults.add("pdu=scsi-response times=1 delay=20ms")
        commands = [peer.command(TEST_UNIT_READY) for _ in range(3)]
        for command in commands:
            await peer.send(command)
        tags = [(await _take(peer, ScsiResponse)).initiator_task_tag for _ in range(3)]
        assert tags == [command.initiator_task_tag for command in commands]


async def test_other_initiators_are_left_alone() -> None:
    async with running() as array, logged_in(array) as peer, session_with(array) as session:
        await settled(session)
        array.faults.add("pdu=scsi-response drop initiator=*:raw")
        assert (await session.execute(0, TEST_UNIT_READY)).status == 0
        assert peer.isid


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("pdu=r2t set=statuss:1", "there is no field 'statuss'; did you mean status?"),
        ("pdu=r2t set=status:1", "none of these PDUs has a field status"),
        ("pdu=r2t set=r2t_sn:0x100000000", "does not fit"),
    ],
)
async def test_fields_are_checked(rule: str, message: str) -> None:
    async with running() as array:
        with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
            array.faults.add(rule)


@pytest.mark.parametrize("status", [status for status in LoginStatus if status >= 0x0200], ids=lambda status: status.name)
async def test_a_login_is_refused_with_any_status(status: LoginStatus) -> None:
    async with running() as array:
        array.faults.add(f"login=normal times=1 refuse={status.name}")
        with pytest.raises(InitiatorError, match=f"{status:04x}|{status >> 8}"):
            async with session_with(array):
                pass
        async with session_with(array) as session:
            await settled(session)


async def test_a_login_is_redirected() -> None:
    async with running() as array, connected(array) as peer:
        array.faults.add("login=any redirect=192.0.2.1:3260 refuse=target-moved-permanently")
        await peer.stream.send_all(peer.login_request())
        received = await peer.next()
        assert received is not None
        assert (received[0].status, received[1]) == (0x0102, b"TargetAddress=192.0.2.1:3260\0")  # type: ignore[union-attr]


async def _take(peer: RawPeer, kind: type[P]) -> P:
    return await peer.take(kind)


async def test_the_trace_has_a_line_for_each_fault(tmp_path: Path) -> None:
    with opened_tracing(tmp_path / "trace", None, MAX_SNAP_BYTES) as tap:
        config = Config(luns=LUNS, portals=(Portal(port=0),))
        async with Array(config, open_pool=open_pool, tap=tap) as array, session_with(array) as session:
            await settled(session)
            array.faults.add("command=read status=busy name=one")
            array.faults.add("pdu=scsi-response times=1 set=residual_count:0 name=two")
            await session.execute(0, cdb.read_16(0, 8), data_in_bytes=4096)
    lines = (tmp_path / "trace").read_text().splitlines()
    found = [line.partition(" -- ")[2] for line in lines if "fault injected" in line]
    assert found == [
        "fault injected by the rule one: command=read status=busy",
        "fault injected by the rule two: pdu=scsi-response times=1 set=residual_count:0",
    ]
