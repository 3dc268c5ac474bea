"""Crowds of connections that say nothing, little, or read nothing: another host goes on being served, in bounded memory and
time of the clock, which stands still unless a test moves it.
"""

from collections.abc import Awaitable, Callable

import pytest

from odx_target.iscsi import limits
from odx_target.iscsi.pdu.headers import LoginRequest, ScsiCommand
from odx_target.iscsi.pdu.opcodes import Stage
from odx_target.iscsi.pdu.text import encode_pairs
from odx_target.target.server.receive_buffer import LOGIN_BUFFER_BYTES
from tests.fuzz.array.attack_run import run_alone
from tests.fuzz.array.connection import AttackingConnection
from tests.fuzz.array.served import ATTACKER, CONFIG, ServedArray, served_array
from tests.fuzz.array.witness import Witness

CROWD = 1000
SESSIONS = 60
"""Number of sessions of attackers; the witness needs one more."""
READ_64_KIB = bytes((0x28, 0, 0, 0, 0, 0, 0, 0, 128)).ljust(16, b"\0")
Body = Callable[[ServedArray, Witness], Awaitable[None]]


def beside_a_witness(body: Body) -> None:
    async def main() -> None:
        async with served_array() as served, Witness(served) as witness:
            await body(served, witness)
            await witness.check()
            assert served.has_failed() is None

    run_alone(main)


def connections(served: ServedArray, count: int) -> list[AttackingConnection]:
    return [AttackingConnection(served, number, set()) for number in range(count)]


async def log_in(connection: AttackingConnection, number: int) -> None:
    names = [
        ("InitiatorName", f"{ATTACKER}{number}"),
        ("TargetName", CONFIG.iqn),
        ("InitialR2T", "Yes"),
        ("ImmediateData", "No"),
    ]
    await connection.log_in(names, None, {})
    assert connection.is_full_feature


def logging_in(served: ServedArray) -> int:
    """Return the number of connections without a session."""
    return sum(not connection.is_logged_in for connection in served.array._listener._connections)


def test_a_thousand_connections_that_say_nothing() -> None:
    async def body(served: ServedArray, witness: Witness) -> None:
        for number in range(CROWD):
            connections(served, 1)
            await served.settle()
            if number % 100 == 0:
                await witness.check()
        assert logging_in(served) == limits.MAX_LOGINS
        buffers = [connection._loop._received.size_bytes for connection in served.array._listener._connections]
        assert sorted(buffers)[: limits.MAX_LOGINS] == [LOGIN_BUFFER_BYTES] * limits.MAX_LOGINS
        assert served.array.memory_budget.used_bytes == 0
        await served.advance(limits.LOGIN_TIMEOUT_S + 2)
        assert logging_in(served) == 0

    beside_a_witness(body)


def test_slow_logins_keep_nobody_out() -> None:
    """Each of them sends a byte of its login in a second. Their time is limited as a whole, not from byte to byte."""

    async def body(served: ServedArray, witness: Witness) -> None:
        slow = connections(served, limits.MAX_LOGINS)
        request = LoginRequest(
            transit=True, current_stage=Stage.LOGIN_OPERATIONAL_NEGOTIATION, next_stage=Stage.FULL_FEATURE_PHASE
        )
        login = slow[0].encode(request, encode_pairs([("InitiatorName", ATTACKER), ("TargetName", CONFIG.iqn)]))
        for second in range(int(limits.LOGIN_TIMEOUT_S) + 2):
            for connection in slow:
                await connection.send_raw(login[second : second + 1])
            await served.advance(1)
            await witness.check()
            if second == 3:
                (other,) = connections(served, 1)
                await log_in(other, 99)
        assert not any(connection.is_open for connection in slow)
        assert other.is_open

    beside_a_witness(body)


def test_sessions_that_vanish_are_found_dead() -> None:
    """Their hosts lose power: they close nothing and answer nothing."""

    async def body(served: ServedArray, witness: Witness) -> None:
        vanished = connections(served, SESSIONS)
        for number, connection in enumerate(vanished):
            await log_in(connection, number)
        assert len(served.array.sessions()) == SESSIONS + 1
        for _ in range(int(limits.PING_AFTER_IDLE_S + limits.PING_TIMEOUT_S) // 5 + 1):
            await served.advance(5)
            await witness.check()
        assert len(served.array.sessions()) == 1

    beside_a_witness(body)


@pytest.mark.parametrize("size", [65536, 262144])
def test_hosts_that_read_nothing(size: int) -> None:
    async def body(served: ServedArray, witness: Witness) -> None:
        budget = served.array.memory_budget
        readers = connections(served, SESSIONS)
        for number, connection in enumerate(readers):
            await log_in(connection, number)
            await connection.send(ScsiCommand())  # reports the unit attention
            connection.reads = False
            read = ScsiCommand(read=True, expected_data_transfer_length=size, cdb=READ_64_KIB)
            for _ in range(32):
                await connection.send(read)
            unsent = max(each._sender.unsent_bytes for each in served.array._listener._connections)
            assert unsent <= 1 << 20
            assert budget.read.used_bytes <= budget.read.size_bytes
        await witness.check()
        for _ in range(int(limits.PING_AFTER_IDLE_S + limits.PING_TIMEOUT_S) // 5 + 2):
            await served.advance(5)
            await witness.check()
        assert len(served.array.sessions()) == 1
        assert budget.used_bytes == 0

    beside_a_witness(body)


def test_writers_that_stop_in_the_middle() -> None:
    write = bytes((0x2A, 0, 0, 0, 0, 0, 0, 0, 128)).ljust(16, b"\0")

    async def body(served: ServedArray, witness: Witness) -> None:
        writers = connections(served, SESSIONS)
        for number, connection in enumerate(writers):
            await log_in(connection, number)
            await connection.send(ScsiCommand())
            for _ in range(16):
                await connection.send(ScsiCommand(write=True, expected_data_transfer_length=65536, cdb=write))
        budget = served.array.memory_budget
        assert 0 < budget.written.used_bytes <= budget.written.size_bytes
        await witness.check()
        for _ in range(int(limits.DATA_OUT_TIMEOUT_S) // 5 + 2):
            await served.advance(5)
            await witness.check()
        assert budget.used_bytes == 0

    beside_a_witness(body)


def test_half_open_connections() -> None:
    """They have closed their direction to the array in the middle of a login or of a command."""

    async def body(served: ServedArray, witness: Witness) -> None:
        for number, connection in enumerate(connections(served, SESSIONS)):
            if number % 2:
                await log_in(connection, number)
                raw = connection.encode(ScsiCommand(write=True, expected_data_transfer_length=512, cdb=READ_64_KIB), bytes(512))
                await connection.send_raw(raw[: 48 + number])
            connection.end("half")
            await served.settle()
        await witness.check()
        await served.advance(3)
        assert len(served.array._listener._connections) == 1

    beside_a_witness(body)
