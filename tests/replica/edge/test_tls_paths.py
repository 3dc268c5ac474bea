"""Tests of pairing and of paths over real TLS connections on this machine."""

import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from odx_target.replica.edge import dialler, listener, tls, tls_connection
from odx_target.replica.edge.certificates import make_certificate
from odx_target.replica.edge.dialler import pair_with
from odx_target.replica.edge.greetings import MAX_GREETINGS
from odx_target.replica.edge.tls import OwnCertificate, client_context, pairing_context, server_context
from odx_target.replica.edge.tls_connection import TlsConnection
from odx_target.replica.link.errors import LinkError, PeerFault
from odx_target.replica.link.throttle import Rates
from odx_target.replica.pairing import path_key
from odx_target.replica.pairing.desk import MAX_ATTEMPTS
from odx_target.replica.pairing.handshake import DiallerHandshake, Paired, PairingFailed, refusal
from odx_target.replica.pairing.messages import Identity
from odx_target.replica.pairing.path_key import InvalidPathKey
from odx_target.replica.paths.connection import ConnectionLost, DialFailed
from odx_target.replica.paths.path_table import PathRefused
from odx_target.replica.paths.settings import Address, PathSettings, Right
from odx_target.store.api import PoolFull
from odx_target.store.open import open_memory_pool
from odx_target.target.config.settings import Portal
from odx_target.target.job_nursery import JobNursery
from odx_target.target.listening_sockets import bind_portals
from odx_target.target.peers import peering as peering_module
from odx_target.target.peers.own_certificate import KEY as CERTIFICATE_KEY
from odx_target.target.peers.own_certificate import UNREADABLE_KEY, own_certificate
from odx_target.target.peers.peering import REFUSAL_LINES, Peering, open_peering
from odx_target.target.reporter import Reporter
from odx_target.target.trio_environment import TrioEnvironment

KEY, OTHER_KEY = "A" * 26, "B" * 26
RATES, RIGHTS = Rates(), frozenset(Right)


@pytest.fixture(scope="module")
def certificates() -> list[OwnCertificate]:
    return [make_certificate() for _ in range(2)]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch keys only a little, and dial again soon."""
    monkeypatch.setattr(path_key, "SCRYPT_COST", 2)
    monkeypatch.setattr(peering_module, "PAIRING_RETRY_S", 0.01)


@asynccontextmanager
async def peering() -> AsyncIterator[tuple[Peering, Address]]:
    """An array with a link port, as far as its peers see it."""
    (listening,) = await bind_portals([Portal("127.0.0.1", 0)])
    async with trio.open_nursery() as nursery:
        jobs = JobNursery()
        await nursery.start(jobs.run)
        environment = TrioEnvironment(jobs.nursery)
        pool = await open_memory_pool(environment)
        found = await open_peering(pool, environment, b"m" * 16, Reporter(trio.current_time), pool.committed)
        found.start(listening, jobs.nursery)
        yield found, Address("127.0.0.1", listening.address.port)
        found.stop()
        await jobs.stop()
        await pool.close()


async def until(condition: Any) -> None:
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.01)


def are_connected(*peerings: Peering) -> bool:
    return all(path.link is not None for each in peerings for path in each.paths.values()) and all(
        each.paths for each in peerings
    )


async def test_two_arrays_pair_and_connect_and_the_logs_have_no_secret() -> None:
    with capture_logs() as logs:
        async with peering() as (one, _), peering() as (other, address):
            await one.add("other", KEY, address, RIGHTS, RATES)
            await other.add("one", KEY, None, RIGHTS, RATES)
            await until(lambda: are_connected(one, other))
            ours, theirs = one.paths["other"].settings, other.paths["one"].settings
            assert ours.secret == theirs.secret
            assert (ours.peer_pool, theirs.peer_pool) == (other.identity.pool, one.identity.pool)
            assert ours.peer_maker == b"m" * 16
            assert one.desk.waiting() == other.desk.waiting() == []
            with pytest.raises(PathRefused):
                await one.add("other", KEY, address, RIGHTS, RATES)
            await one.remove("other")
            await until(lambda: other.paths["one"].link is None)
            with pytest.raises(PathRefused):
                await one.remove("other")
    text = repr(logs)
    assert KEY not in text
    assert ours.secret.hex() not in text
    assert repr(ours.secret) not in text


async def test_no_side_paces_a_connection_within_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[tuple[int, int]] = []

    def note(connected: socket.socket) -> None:
        prepared.append((connected.getsockname()[1], connected.getpeername()[1]))

    monkeypatch.setattr(peering_module, "avoid_pacing", note)
    async with peering() as (one, _), peering() as (other, address):
        await one.add("other", KEY, address, RIGHTS, RATES)
        await other.add("one", KEY, None, RIGHTS, RATES)
        await until(lambda: are_connected(one, other))
    assert any((theirs, ours) in prepared for ours, theirs in prepared), "both ends of the link"


async def test_both_arrays_may_dial() -> None:
    async with peering() as (one, ours), peering() as (other, theirs):
        await one.add("other", KEY, theirs, RIGHTS, RATES)
        await other.add("one", KEY, ours, RIGHTS, RATES)
        await until(lambda: are_connected(one, other))
        assert one.paths["other"].settings.secret == other.paths["one"].settings.secret


async def test_a_new_key_whose_last_frame_was_lost_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(*arguments: Any) -> Paired:
        await pair_with(*arguments)
        raise DialFailed("the last frame was lost")

    async with peering() as (one, _), peering() as (other, address):
        await one.add("other", KEY, address, RIGHTS, RATES)
        await other.add("one", KEY, None, RIGHTS, RATES)
        await until(lambda: are_connected(one, other))
        former = one.paths["other"].settings
        monkeypatch.setattr(peering_module, "pair_with", lost)
        await one.rekey("other", OTHER_KEY)
        await other.rekey("one", OTHER_KEY)
        await until(lambda: other.paths["one"].settings.secret != former.secret)
        one.desk.remove("other")  # as after a restart
        await until(lambda: one.paths["other"].settings.secret == other.paths["one"].settings.secret)
        await until(lambda: are_connected(one, other) and not one.paths["other"].status.reason)
        assert replace(one.paths["other"].settings, secret=former.secret) == former
        assert not other.paths["one"].settings.next_secret


async def test_a_wrong_key_is_refused_and_the_fourth_attempt_too() -> None:
    async with peering() as (one, _), peering() as (other, address):
        waiting = await other.add("one", KEY, None, RIGHTS, RATES)
        guess = await one.add("other", OTHER_KEY, address, RIGHTS, RATES)
        await until(lambda: waiting.is_over and guess.is_over)
        assert waiting.attempts == guess.attempts == MAX_ATTEMPTS
        assert f"{MAX_ATTEMPTS} attempts have failed" in waiting.reason
        assert other.desk.unpaired() == {"one": waiting.reason}
        right = await one.add("other", KEY, address, RIGHTS, RATES)
        await until(lambda: "no path waits" in right.reason)
        assert not right.is_over
        assert dict(one.paths) == dict(other.paths) == {}


async def test_a_stranger_cannot_fill_the_log_with_texts_of_its_own() -> None:
    async with peering() as (one, address):
        await one.add("other", KEY, None, RIGHTS, RATES)
        with capture_logs() as logs:
            for number in range(REFUSAL_LINES + 3):
                stream = await plain_tls(address)
                await stream.send_all(refusal(f"reason {number}"))
                assert await ends(stream)
                await trio.aclose_forcefully(stream)
        assert [entry["event"] for entry in logs] == ["a peer is refused"] * REFUSAL_LINES


async def test_a_peer_that_sends_nothing_delays_no_pairing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PAIRING_TIMEOUT_S", 600.0)
    async with peering() as (one, _), peering() as (other, address):
        await other.add("one", KEY, None, RIGHTS, RATES)
        silent = await plain_tls(address)
        await one.add("other", KEY, address, RIGHTS, RATES)
        await until(lambda: are_connected(one, other))
        await trio.aclose_forcefully(silent)


def refusals(logs: Iterable[Mapping[str, Any]]) -> list[str]:
    return [entry["error"] for entry in logs if entry["event"] == "a peer is refused"]


async def test_silent_strangers_delay_no_peer_and_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_connection, "HANDSHAKE_TIMEOUT_S", 600.0)
    async with peering() as (one, _), peering() as (other, address):
        await other.add("one", KEY, None, RIGHTS, RATES)  # First, so that no line of the log is used up before.
        await one.add("other", KEY, address, RIGHTS, RATES)
        with capture_logs() as logs:
            strangers = MAX_GREETINGS + 2 * REFUSAL_LINES
            silent = [await trio.open_tcp_stream(address.host, address.port) for _ in range(strangers)]
            await until(lambda: are_connected(one, other) and len(refusals(logs)) >= REFUSAL_LINES)
            for stream in silent:
                await trio.aclose_forcefully(stream)
        refused = refusals(logs)
        assert len(refused) == REFUSAL_LINES
        assert refused.count("newer connections take the place of a peer that has not shown who it is") > REFUSAL_LINES // 2


@pytest.mark.parametrize("kind", ["closes", "resets", "says nothing"])
async def test_every_end_after_the_proof_is_an_attempt(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An acceptor that does not know the key could guess for ten minutes otherwise."""
    monkeypatch.setattr(dialler, "PAIRING_TIMEOUT_S", 0.05)

    async def converse(connection: TlsConnection, handshake: DiallerHandshake) -> Paired:
        handshake._peer = Identity(b"p" * 16, b"n" * 16, b"c")
        if kind == "closes":
            raise PairingFailed("the peer has ended the pairing", is_attempt=handshake.has_proved)
        if kind == "resets":
            raise ConnectionLost("reset")
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(dialler, "converse", converse)
    async with peering() as (one, _), peering() as (_other, address):
        waiting = await one.add("other", KEY, address, RIGHTS, RATES)
        await until(lambda: waiting.is_over)
        assert waiting.attempts == MAX_ATTEMPTS


async def test_a_peer_that_speaks_another_protocol_is_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    async def converse(_connection: TlsConnection, _handshake: DiallerHandshake) -> Paired:
        raise PeerFault("the header of a frame does not match its checksum")

    monkeypatch.setattr(dialler, "converse", converse)
    async with peering() as (one, _), peering() as (_other, address):
        waiting = await one.add("other", KEY, address, RIGHTS, RATES)
        await until(lambda: "checksum" in waiting.reason)
        assert (waiting.attempts, waiting.is_over) == (0, False)


@pytest.mark.parametrize("record", [b"", b"{}", b"[]", b"\xff", None])
async def test_a_certificate_record_that_cannot_be_read_is_replaced_and_kept(record: bytes | None) -> None:
    async with trio.open_nursery() as nursery:
        pool = await open_memory_pool(TrioEnvironment(nursery))
        environment, reporter = TrioEnvironment(nursery), Reporter(trio.current_time)
        first = await own_certificate(pool, environment, reporter)
        assert await own_certificate(pool, environment, reporter) == first
        damaged = record
        if damaged is None:  # A certificate that does not belong to its key.
            values = json.loads(pool.remembered(CERTIFICATE_KEY) or b"")
            damaged = json.dumps({**values, "certificate": make_certificate().certificate.hex()}).encode()
        pool.remember(CERTIFICATE_KEY, damaged)
        with capture_logs() as logs:
            second = await own_certificate(pool, environment, reporter)
        assert second != first
        assert await own_certificate(pool, environment, reporter) == second
        assert pool.remembered(UNREADABLE_KEY) == damaged
        assert len(logs) == 1
        assert "pair the paths of the array again" in logs[0]["event"]
        await pool.close()


async def test_many_connections_have_no_more_attempts_than_one() -> None:
    """All get their challenge before the first of them guesses."""
    async with peering() as (one, address):
        waiting = await one.add("other", KEY, None, RIGHTS, RATES)
        connections = [await dialler._connected_with_tls(address, pairing_context()) for _ in range(MAX_ATTEMPTS + 1)]
        keys = [OTHER_KEY] * MAX_ATTEMPTS + [KEY]
        proofs = []
        for connection, key in zip(connections, keys, strict=True):
            await connection.handshake()
            certificate = connection.peer_certificate
            assert certificate is not None
            own = Identity(b"p" * 16, b"n" * 16, one.identity.certificate)
            handshake = DiallerHandshake(path_key.stretched(key), own, certificate, bytes(32))
            await connection.send([handshake.output])
            proof, _paired = handshake.receive(await connection.receive())
            proofs.append((connection, handshake, proof))
        for connection, handshake, proof in proofs:
            await connection.send([proof])
            with pytest.raises(PairingFailed):
                handshake.receive(await connection.receive())
            connection.close()
        assert waiting.is_over
        assert not one.paths


async def test_each_waiting_path_has_a_key_of_its_own() -> None:
    async with peering() as (one, _):
        await one.add("berlin", KEY, None, RIGHTS, RATES)
        with pytest.raises(PathRefused, match="same path key"):
            await one.add("paris", KEY, None, RIGHTS, RATES)
        await one.add("berlin", KEY, None, RIGHTS, RATES)


async def test_short_keys_are_refused() -> None:
    async with peering() as (one, _):
        with pytest.raises(InvalidPathKey):
            await one.add("other", "short", None, RIGHTS, RATES)


async def plain_tls(address: Address, own: OwnCertificate | None = None) -> trio.SSLStream[trio.SocketStream]:
    context = pairing_context()
    if own is not None:
        tls._load(context, own)
    stream = trio.SSLStream(await trio.open_tcp_stream(address.host, address.port), context)
    await stream.do_handshake()
    return stream


async def ends(stream: Any) -> bool:
    """True if the peer ends the connection."""
    with trio.fail_after(10):
        try:
            while await stream.receive_some(65536):
                pass
        except (trio.BrokenResourceError, ssl.SSLError):
            pass
        return True


@pytest.mark.parametrize("kind", ["certificate", "no TLS", "garbage in TLS"])
async def test_a_stranger_is_refused_and_others_are_served(kind: str, certificates: list[OwnCertificate]) -> None:
    async with peering() as (one, _), peering() as (other, address):
        await one.add("other", KEY, address, RIGHTS, RATES)
        await other.add("one", KEY, None, RIGHTS, RATES)
        await until(lambda: are_connected(one, other))
        with capture_logs() as logs:
            if kind == "no TLS":
                stream: Any = await trio.open_tcp_stream(address.host, address.port)
                await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            elif kind == "certificate":
                stream = await plain_tls(address, certificates[0])
            else:
                stream = await plain_tls(address)
                await stream.send_all(bytes(100))
            assert await ends(stream)
            await trio.aclose_forcefully(stream)
            await until(lambda: logs)
        assert [entry["event"] for entry in logs] == ["a peer is refused"]
        assert "\n" not in logs[0]["error"]
        assert are_connected(one, other)


async def test_a_peer_that_shows_another_certificate_is_not_dialled(certificates: list[OwnCertificate]) -> None:
    async with peering() as (one, _), peering() as (other, address):
        await one.add("other", KEY, address, RIGHTS, RATES)
        await other.add("one", KEY, None, RIGHTS, RATES)
        await until(lambda: are_connected(one, other))
        settings = one.paths["other"].settings
        await one.remove("other")
        path = one.paths.add(replace(settings, peer_certificate=certificates[1].certificate))
        await until(lambda: "another certificate" in path.status.reason)
        assert path.link is None


def test_an_acceptor_knows_each_of_several_peers(certificates: list[OwnCertificate]) -> None:
    own, *peers = [*certificates, *(make_certificate() for _ in range(4))]
    acceptor = server_context(own, [each.certificate for each in peers])
    for peer in peers:
        to_acceptor, to_peer = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = [
            client_context(peer, own.certificate).wrap_bio(to_peer, to_acceptor),
            acceptor.wrap_bio(to_acceptor, to_peer, server_side=True),
        ]
        for _ in range(3):
            for end in ends:
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        assert ends[1].getpeercert(binary_form=True) == peer.certificate


async def test_a_peer_that_does_not_listen() -> None:
    async with peering() as (one, _):
        waiting = await one.add("other", KEY, Address("127.0.0.1", 1), RIGHTS, RATES)
        await until(lambda: "refused" in waiting.reason)
        assert waiting.attempts == 0
        assert not waiting.is_over
        await one.remove("other")
        assert waiting.is_over
        with pytest.raises(LinkError):
            await one.remove("other")


async def test_a_path_that_is_not_paired_in_time(mock_clock: MockClock) -> None:
    async with peering() as (one, _):
        mock_clock.rate = 1.0
        waiting = await one.add("other", KEY, None, RIGHTS, RATES)
        mock_clock.jump(601)
        assert one.desk.waiting() == []
        assert waiting.is_over


async def paired_by_hand(address: Address, certificate: bytes) -> Paired:
    """Pair with an array as a peer that sends any certificate."""
    connection = await dialler._connected_with_tls(address, pairing_context())
    try:
        await connection.handshake()
        shown = connection.peer_certificate
        assert shown is not None
        own = Identity(b"p" * 16, b"n" * 16, certificate)
        return await dialler.converse(connection, DiallerHandshake(path_key.stretched(KEY), own, shown, bytes(32)))
    finally:
        connection.close()


@pytest.mark.parametrize("kind", ["no certificate", "two certificates", "more bytes"])
async def test_a_peer_that_sends_no_valid_certificate_is_not_paired(kind: str, certificates: list[OwnCertificate]) -> None:
    first, second = (each.certificate for each in certificates)
    sent = {"no certificate": b"x", "two certificates": first + second, "more bytes": first + b"x"}[kind]
    async with peering() as (one, ours), peering() as (other, theirs):
        await one.add("stranger", KEY, Address("127.0.0.1", 1), RIGHTS, RATES)
        with pytest.raises(PairingFailed, match="certificate"):
            await paired_by_hand(ours, sent)
        assert not one.paths
        await one.remove("stranger")
        await one.add("other", KEY, theirs, RIGHTS, RATES)
        await other.add("one", KEY, None, RIGHTS, RATES)
        await until(lambda: are_connected(one, other))


async def test_a_remembered_certificate_that_cannot_be_read(certificates: list[OwnCertificate]) -> None:
    async with peering() as (one, _), peering() as (_other, address):
        path = one.paths.add(PathSettings("other", address, b"p" * 16, b"n" * 16, b"x", bytes(32)))
        await until(lambda: "cannot be read" in path.status.reason)


async def test_a_remembered_certificate_that_cannot_be_read_keeps_out_no_other_peer() -> None:
    async with peering() as (one, _), peering() as (other, address):
        other.paths.add(PathSettings("bad", None, b"p" * 16, b"n" * 16, b"x", bytes(32)))
        await one.add("other", KEY, address, RIGHTS, RATES)
        await other.add("one", KEY, None, RIGHTS, RATES)
        await until(lambda: are_connected(one) and other.paths["one"].link is not None)


async def test_a_peer_that_resets_the_connection_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reset arrives before TLS begins, with a pairing and with a path."""
    connected = dialler._connected

    async def reset(address: Address) -> socket.socket:
        found = await connected(address)
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        await trio.lowlevel.wait_readable(found)
        return found

    monkeypatch.setattr(dialler, "_connected", reset)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address("127.0.0.1", server.getsockname()[1])
        async with peering() as (one, _):
            waiting = await one.add("waiting", KEY, address, RIGHTS, RATES)
            await until(lambda: "reset" in waiting.reason)
            await one.remove("waiting")
            path = one.paths.add(PathSettings("other", address, b"p" * 16, b"n" * 16, one.identity.certificate, bytes(32)))
            await until(lambda: "reset" in path.status.reason)


async def test_a_pool_that_cannot_remember_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else ends, and the pairing succeeds later."""
    async with peering() as (one, address), peering() as (other, _):
        pool, remember = one.paths._pool, type(one.paths._pool).remember
        is_full = True

        def remember_unless_full(self: Any, key: str, value: bytes, *, spare: bool = False) -> None:
            if self is pool and is_full:
                raise PoolFull("the pool is full")
            remember(self, key, value, spare=spare)

        monkeypatch.setattr(type(pool), "remember", remember_unless_full)
        await one.add("other", KEY, None, RIGHTS, RATES)
        waiting = await other.add("one", KEY, address, RIGHTS, RATES)
        await until(lambda: "the pool is full" in waiting.reason)
        is_full = False
        await until(lambda: are_connected(one, other))
