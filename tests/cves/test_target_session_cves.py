"""Published faults of targets (see `table`) in PDUs, logins and sessions, each against a whole array."""

from inspect import signature
from secrets import token_bytes

import pytest

from odx_target.iscsi.limits import MAX_CDB_BYTES
from odx_target.iscsi.pdu.framing import AHS_BIDIRECTIONAL_READ_LENGTH, AHS_EXTENDED_CDB
from odx_target.iscsi.pdu.headers import (
    PDU_CLASSES,
    LoginRequest,
    LogoutRequest,
    Pdu,
    ScsiCommand,
    TaskManagementFunctionRequest,
    TextRequest,
)
from odx_target.target.array import Array
from odx_target.target.config.chap import ChapUser
from tests.cves.attacking import attack, logged_in
from tests.fuzz.array.actions import ACTIONS, Attack
from tests.fuzz.array.connection import AttackingConnection
from tests.fuzz.array.served import CONFIG


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
            is_cdb = kind & 0x3F == AHS_EXTENDED_CDB and 17 <= 16 + length - 1 <= MAX_CDB_BYTES
            is_read_length = kind == AHS_BIDIRECTIONAL_READ_LENGTH and length == 5
            is_taken = fits and (is_cdb or is_read_length)
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
