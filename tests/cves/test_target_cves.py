"""Published faults of targets (see `table`), each against a whole array. Afterwards, another host is still served."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from inspect import signature
from itertools import product
from secrets import token_bytes

import pytest

from odx_target.iscsi.limits import MAX_CDB_BYTES
from odx_target.iscsi.pdu.framing import AHS_EXTENDED_CDB
from odx_target.iscsi.pdu.headers import (
    PDU_CLASSES,
    LoginRequest,
    LogoutRequest,
    Pdu,
    ScsiCommand,
    ScsiDataOut,
    TaskManagementFunctionRequest,
    TextRequest,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG
from odx_target.target.array import Array
from odx_target.target.config.chap import ChapUser
from tests.fuzz.array.actions import ACTIONS, Attack
from tests.fuzz.array.attack_run import check_released, check_sound, run_alone
from tests.fuzz.array.connection import AttackingConnection
from tests.fuzz.array.served import CONFIG, ServedArray, served_array
from tests.fuzz.array.witness import Witness

USUAL = [("InitialR2T", "Yes"), ("ImmediateData", "Yes"), ("MaxRecvDataSegmentLength", "65536")]
Body = Callable[[Attack], Awaitable[None]]


def attack(body: Body, *, seed: int = 0, users: tuple[ChapUser, ...] = ()) -> set[str]:
    """Run an attack against an array, and check that the array is sound and serves another host. Returns what was seen."""

    async def main() -> set[str]:
        async with served_array(seed, replace(CONFIG, chap_users=users)) as served:
            if users:
                return await _attacked(served, body)
            async with Witness(served) as witness:
                seen = await _attacked(served, body)
                await witness.check()
                return seen

    return run_alone(main)


async def _attacked(served: ServedArray, body: Body) -> set[str]:
    found = Attack(served)
    await body(found)
    check_sound(served)
    for connection in found.connections.values():
        connection.end("close")
    await served.advance(3)
    check_sound(served)
    check_released(served)
    return found.outcomes


async def logged_in(attack: Attack, slot: int = 0, keys: list[tuple[str, str]] = USUAL) -> AttackingConnection:
    """Log in, and let each LUN report its unit attention."""
    await ACTIONS["login"](attack, slot, [list(pair) for pair in keys], {})
    connection = attack.connection(slot)
    assert connection.is_full_feature
    for lun in range(3):
        await command(attack, bytes(6), lun=lun, slot=slot)
    attack.outcomes.clear()
    return connection


async def command(attack: Attack, cdb: bytes, data: bytes = b"", *, lun: int = 0, slot: int = 0, size: int = 0) -> bytes:
    """Send a command, and return its data. `size` is the number of bytes that it may return."""
    attack.connection(slot).last_data = b""
    await ACTIONS["scsi"](attack, slot, lun, cdb.hex(), {"in": size} if size else {}, data.hex())
    return attack.connection(slot).last_data


def test_extended_copy_reaches_only_luns_of_the_initiator() -> None:
    async def body(attack: Attack) -> None:
        await logged_in(attack)
        before = {name: attack.served.content(name) for name in ("first", "witness", "kept")}
        for source, destination in ((3, 0), (0, 3), (3, 3), (0, 2)):
            await ACTIONS["extended copy"](attack, 0, 0, [[2, source, 0, destination, 8, 8]], {"identifier": source})
        assert before == {name: attack.served.content(name) for name in before}

    assert attack(body) >= {"83/00 Ah/0Dh/02h"}


@pytest.mark.parametrize("operation_code", [0x3C, 0x9B])
def test_read_buffer_returns_only_what_this_host_has_written(operation_code: int) -> None:
    def read_buffer(mode: int, size: int) -> bytes:
        if operation_code == 0x3C:
            return bytes((0x3C, mode, 0, 0, 0, 0)) + size.to_bytes(3, "big") + bytes(1)
        return bytes((0x9B, mode)) + bytes(8) + size.to_bytes(4, "big") + bytes(2)

    async def body(attack: Attack) -> None:
        await logged_in(attack, 0)
        await logged_in(attack, 1)
        await command(attack, b"\x3b\x0a\0\0\0\0\0\0\x40\0", b"\xa5" * 64, slot=1)
        await command(attack, b"\x3b\x02\0\0\0\0\0\0\x04\0", b"mine", slot=0)
        assert attack.outcomes >= {"3B GOOD"}
        for mode in range(32):
            for size in (4, 512, 65536):
                data = await command(attack, read_buffer(mode, size), size=size)
                assert b"\xa5" * 4 not in data, (mode, size)
        await command(attack, b"\x3b\x0a\0\0\0\0\0\0\x04\0", b"mine")
        data = await command(attack, read_buffer(0x0A, 4096), size=4096)
        assert data.startswith(b"mine")
        assert not data[4:].strip(b"\0")

    attack(body)


@pytest.mark.parametrize("options", [2, 3])
@pytest.mark.parametrize("operation_code", [0x00, 0x3C, 0x5E, 0x83])
def test_service_actions_out_of_range(options: int, operation_code: int) -> None:
    async def body(attack: Attack) -> None:
        await logged_in(attack)
        for action in (32, 100, 255, 256, 10000, 65535):
            cdb = (
                bytes((0xA3, 0x0C, options, operation_code)) + action.to_bytes(2, "big") + (4096).to_bytes(4, "big") + bytes(2)
            )
            data = await command(attack, cdb, size=4096)
            assert not data or data[1] & 7 == 1  # not supported

    assert attack(body) <= {"A3/0C GOOD", "A3/0C 5h/24h/00h", "ScsiDataIn", "ScsiResponse"}


@pytest.mark.parametrize("descriptor_format", [0, 1])
def test_request_sense_returns_nothing_but_sense_data(descriptor_format: int) -> None:
    async def body(attack: Attack) -> None:
        await logged_in(attack)
        whole = await command(attack, bytes((3, descriptor_format, 0, 0, 255, 0)), size=255)
        assert len(whole) == 8 + whole[7]
        for size in range(1, 60):
            assert await command(attack, bytes((3, descriptor_format, 0, 0, size, 0)), size=255) == whole[:size]

    attack(body)


def test_write_buffer_in_pieces_and_aborted() -> None:
    async def body(attack: Attack) -> None:
        connection = await logged_in(attack, keys=[("InitialR2T", "Yes"), ("ImmediateData", "No")])
        write = ScsiCommand(write=True, expected_data_transfer_length=64, cdb=b"\x3b\x0a\0\0\0\0\0\0\x40\0".ljust(16, b"\0"))
        for function in (1, 2, 4, 5):  # ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET
            await connection.send(write)
            (r2t,), connection.r2ts = connection.r2ts, []
            referenced = write.initiator_task_tag if function == 1 else NO_TAG
            abort = TaskManagementFunctionRequest(immediate=True, function=function, referenced_task_tag=referenced)
            await connection.send(abort)
            data = ScsiDataOut(initiator_task_tag=write.initiator_task_tag, target_transfer_tag=r2t.target_transfer_tag)
            await connection.send(data, b"late" * 16)
            connection.checker.commands.pop(write.initiator_task_tag, None)
            assert connection.is_open
            for lun in range(3):
                await command(attack, bytes(6), lun=lun)
            assert await command(attack, b"\x3c\x0a\0\0\0\0\0\0\x40\0", size=64) == b""
        await ACTIONS["scsi"](attack, 0, 0, "3b0a0000000000004000", {"send": 0}, (b"new!" * 16).hex())
        assert await command(attack, b"\x3c\x0a\0\0\0\0\0\0\x40\0", size=64) == b"new!" * 16

    attack(body)


@pytest.mark.parametrize("action", range(8))
def test_a_huge_parameter_list_takes_no_memory(action: int) -> None:
    async def body(attack: Attack) -> None:
        connection = await logged_in(attack)
        budget = attack.served.array.memory_budget
        for size in (0xFFFFFFFF, 0x7FFFFFFF, 1 << 24):
            cdb = bytes((0x5F, action, 0, 0, 0)) + size.to_bytes(4, "big") + bytes(7)
            await connection.send(ScsiCommand(write=True, expected_data_transfer_length=size, cdb=cdb), bytes(24))
            assert budget.used_bytes <= budget.unsolicited.size_bytes + budget.written.size_bytes
        attack.outcomes.add("done")

    assert "done" in attack(body)


@pytest.mark.parametrize("immediate", ["Yes", "No"])
def test_no_data_where_data_is_expected(immediate: str) -> None:
    async def body(attack: Attack) -> None:
        before = attack.served.content("first")
        write = bytes((0x2A, 0, 0, 0, 0, 0, 0, 0, 1)).ljust(16, b"\0")
        for slot, (final, is_last) in enumerate(product((False, True), repeat=2)):
            connection = await logged_in(attack, slot, [("InitialR2T", "No"), ("ImmediateData", immediate)])
            request = ScsiCommand(write=True, final=final, expected_data_transfer_length=512, cdb=write)
            await connection.send(request)
            tag = request.initiator_task_tag
            for transfer_tag in (NO_TAG, *(r2t.target_transfer_tag for r2t in connection.r2ts)):
                empty = ScsiDataOut(final=is_last, initiator_task_tag=tag, target_transfer_tag=transfer_tag)
                await connection.send(empty)
            assert connection.is_open
            # The command waits for its data, or ends without it after the last PDU for an R2T.
            assert attack.outcomes & {"2A GOOD", "2A Bh/0Ch/0Ch"} == ({"2A Bh/0Ch/0Ch"} if final and is_last else set())
        assert attack.served.content("first") == before

    attack(body)


@pytest.mark.parametrize("kind", [kind for kind in PDU_CLASSES.values() if kind is not LoginRequest])
def test_any_pdu_before_the_login(kind: type[Pdu]) -> None:
    async def body(attack: Attack) -> None:
        connection = attack.connection(0)
        connection.checker.is_strict = False
        await connection.send_raw(connection.encode(kind(), b"data" * 4))
        await attack.served.advance(2)
        connection.receive()
        assert not connection.is_open

    assert not attack(body) & {"ScsiResponse", "ScsiDataIn"}


def test_challenges_differ_after_each_start() -> None:
    challenges = set()

    async def body(attack: Attack) -> None:
        stages = {"current_stage": 0, "next_stage": 0, "transit": 0}
        await ACTIONS["login"](attack, 0, [["AuthMethod", "CHAP"]], stages)
        await ACTIONS["login"](attack, 0, [["CHAP_A", "5"]], {**stages, "names": False})
        challenges.add(attack.connection(0)._offers["CHAP_C"])

    for seed in range(3):
        attack(body, seed=seed, users=(ChapUser("user", b"secret-of-user"),))
    assert len(challenges) == 3
    assert signature(Array).parameters["entropy"].default is token_bytes


@pytest.mark.parametrize("where", ["login", "text"])
def test_answers_to_many_keys(where: str) -> None:
    pairs = [[f"X-{number}", "?"] for number in range(700)]

    async def body(attack: Attack) -> None:
        if where == "login":
            await ACTIONS["login"](attack, 0, pairs, {})
            response = attack.connection(0).last_login
            assert response is not None
            assert (response.status, response.continued) == (0, True)
        else:
            connection = await logged_in(attack, keys=[("MaxRecvDataSegmentLength", "512")])
            assert connection.checker.max_data_segment_bytes == 512
            text = b"".join(f"{name}={value}\0".encode() for name, value in pairs)
            await connection.send(TextRequest(), text[:8000].rpartition(b"\0")[0] + b"\0")
            assert attack.outcomes >= {"TextResponse"}

    attack(body)  # the checks of each PDU refuse a data segment that is too long


def test_text_requests_with_right_and_wrong_digests() -> None:
    async def body(attack: Attack) -> None:
        connection = await logged_in(attack, keys=[("DataDigest", "CRC32C"), ("HeaderDigest", "CRC32C")])
        connection.checker.is_strict = False
        for wrong in ("", "data digest", "", "data digest", "data digest"):
            for size in (1, 2, 3, 4, 1001):
                text = b"SendTargets=All\0" if not wrong else b"x=" + b"y" * size
                await connection.send(TextRequest(), text, b"", wrong, initiator_task_tag=9)
        await connection.send(LogoutRequest())

    assert attack(body) >= {"TextResponse"}


@pytest.mark.parametrize("size", [0, 1, 3, 22, 24, 1368, 4000, 8000])
@pytest.mark.parametrize("prefix", ["0b", "0x"])
def test_long_chap_responses(prefix: str, size: int) -> None:
    async def body(attack: Attack) -> None:
        stages = {"current_stage": 0, "next_stage": 0, "transit": 0}
        await ACTIONS["login"](attack, 0, [["AuthMethod", "CHAP"]], stages)
        await ACTIONS["login"](attack, 0, [["CHAP_A", "5"]], {**stages, "names": False})
        proof = [["CHAP_N", "user"], ["CHAP_R", prefix + "A" * size]]
        await ACTIONS["login"](attack, 0, proof, {**stages, "names": False})
        assert not attack.connection(0).is_full_feature

    attack(body, users=(ChapUser("user", b"secret-of-user"),))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 17, 244, 245, 246, 1000, 0xFFFF])
@pytest.mark.parametrize("kind", [1, 2, 0x3F, 0x41])
def test_additional_headers_of_every_size(kind: int, length: int) -> None:
    async def body(attack: Attack) -> None:
        for slot, content in enumerate((b"", bytes(4), bytes(248))):
            connection = await logged_in(attack, slot)  # after a Reject, a connection waits for the CmdSN of the rejected PDU
            connection.checker.is_strict = False
            segment = length.to_bytes(2, "big") + bytes((kind, 0)) + content
            await connection.send(ScsiCommand(cdb=b"\x7f".ljust(16, b"\0")), b"", segment)
            fits = length > 0 and length + 3 + -(length + 3) % 4 == len(segment)
            is_cdb_too_long = kind & 0x3F == AHS_EXTENDED_CDB and 16 + length - 1 > MAX_CDB_BYTES
            is_taken = fits and not is_cdb_too_long
            assert attack.outcomes == ({"ScsiResponse"} if is_taken else {"Reject", "reject 9 of 01"})

    attack(body)


@pytest.mark.parametrize("how", ["close", "half", "reinstated", "logout", "reset"])
def test_connections_that_end_while_commands_are_under_way(how: str) -> None:
    write = bytes((0x2A, 0, 0, 0, 0, 0, 0, 0, 16)).ljust(16, b"\0")

    async def body(attack: Attack) -> None:
        for _ in range(3):
            connection = await logged_in(attack, keys=[("InitialR2T", "Yes"), ("ImmediateData", "No")])
            for lun in (0, 0, 1):
                await connection.send(ScsiCommand(write=True, lun=lun << 48, expected_data_transfer_length=8192, cdb=write))
            if how == "reinstated":
                twin = AttackingConnection(attack.served, 0, attack.outcomes)
                await twin.log_in([("InitiatorName", "iqn.2026-11.example:attacker"), ("TargetName", CONFIG.iqn)], None, {})
                assert twin.is_full_feature
                connection.receive()
                assert not connection.is_open
                twin.end("close")
            elif how == "logout":
                await connection.send(LogoutRequest(immediate=True))
            elif how == "reset":
                await connection.send(TaskManagementFunctionRequest(immediate=True, function=5))
                connection.end("close")
            else:
                connection.end(how)
            await attack.served.advance(3)
            attack.connections.clear()

    attack(body)


@pytest.mark.parametrize("size", [1, 4, 5, 8, 16, 24, 47, 48, 49, 75, 76])
def test_logins_that_end_within_the_header(size: int) -> None:
    async def body(attack: Attack) -> None:
        connection = attack.connection(0)
        login = connection.encode(LoginRequest(transit=True, current_stage=1, next_stage=3), b"InitiatorName=iqn.2026-11.a:b\0")
        await connection.send_raw(login[:size])
        connection.end("half")
        await attack.served.advance(2)
        connection.receive()
        assert not connection.is_full_feature

    attack(body)


@pytest.mark.parametrize("key", ["InitiatorAlias", "InitiatorName", "TargetName", "X-odx", "SessionType"])
@pytest.mark.parametrize("size", [223, 224, 255, 256, 4096, 8000])
def test_long_texts_in_a_login(key: str, size: int) -> None:
    async def body(attack: Attack) -> None:
        await ACTIONS["login"](attack, 0, [[key, "iqn.2026-11.a:" + "x" * size]], {})
        if attack.connection(0).is_full_feature:
            for session in attack.served.array.sessions():
                assert len(session.session.initiator_name) <= 223

    attack(body)
