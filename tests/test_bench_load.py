"""The load generator of the bench: its PDUs against a naive target, its checks of replies, and whole loads against an array."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from bench.load.login import LoadFailed, LoggedIn
from bench.load.run import Ending, percentiles, run_load
from bench.load.session import LoadSession
from bench.load.shape import BLOCK_BYTES, Shape, places, prepare
from bench.one_token import copy_by_one_token
from hypothesis import given
from hypothesis import strategies as st

from odx_target.initiator.disk import Disk
from odx_target.initiator.url import parse_url
from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.pdu.headers import (
    NopIn,
    NopOut,
    ReadyToTransfer,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    ScsiResponse,
)
from odx_target.target.config.settings import Config, LunConfig
from tests.initiator.naive_portal import Portal
from tests.target.running import running, session_with

SIZE = 8192
CAPACITY_BLOCKS = 2048
UNIT_ATTENTION = bytes.fromhex("0012 70 00 06 00000000 0a 00000000 38 07 00000000")
MEDIUM_ERROR = bytes.fromhex("0012 70 00 03 00000000 0a 00000000 11 00 00000000")


class Bench:
    """A session of the load generator, and the naive target at the other end of its socket."""

    def __init__(self, *, digests: bool = False, window: int = 32, immediate_bytes: int = 4096, **shape: Any) -> None:
        self.shape = Shape(SIZE, 2, digests=digests, **shape)
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        chosen = "CRC32C" if digests else "None"
        parameters = Parameters(header_digest=chosen, data_digest=chosen, max_send_data_segment_length=2048)
        self.portal = Portal(header_digest=digests, data_digest=digests, window=window, exp_cmd_sn=7)
        started = SimpleNamespace(
            socket=ours,
            lun=0,
            parameters=parameters,
            cmd_sn=7,
            max_cmd_sn=7 + window - 1,
            exp_stat_sn=100,
            immediate_bytes=immediate_bytes,
        )
        prepared = iter(prepare(self.shape, 0, CAPACITY_BLOCKS, immediate_bytes, 1))
        self.data = Random(1).randbytes(SIZE)
        self.session = LoadSession(started, prepared, SIZE, self.shape.depth, self.data)  # type: ignore[arg-type]

    def begin(self) -> list[tuple[Any, bytes]]:
        self.session.begin(100)
        return self.sent()

    def sent(self) -> list[tuple[Any, bytes]]:
        self.session.send()
        try:
            return self.portal.take([self.theirs.recv(1 << 20)])
        except BlockingIOError:
            return []

    def answer(self, *pdus: tuple[Any, bytes], piece_bytes: int = 1 << 20) -> None:
        raw = b"".join(self.portal.encode(pdu, data, numbered=self._has_status(pdu)) for pdu, data in pdus)
        for at in range(0, len(raw), piece_bytes):
            self.theirs.sendall(raw[at : at + piece_bytes])
            self.session.receive()

    @staticmethod
    def _has_status(pdu: Any) -> bool:
        return isinstance(pdu, ScsiResponse) or (isinstance(pdu, ScsiDataIn) and pdu.has_status)

    def close(self) -> None:
        self.session.socket.close()
        self.theirs.close()


@pytest.fixture
def benches() -> Iterator[list[Bench]]:
    made: list[Bench] = []
    yield made
    for bench in made:
        bench.close()


def made(benches: list[Bench], **options: Any) -> Bench:
    benches.append(Bench(**options))
    return benches[-1]


@pytest.mark.parametrize("digests", [False, True])
@pytest.mark.parametrize("piece_bytes", [1, 47, 1 << 20])
def test_reads_end_when_all_their_data_is_there(benches: list[Bench], digests: bool, piece_bytes: int) -> None:
    bench = made(benches, digests=digests)
    commands = bench.begin()
    assert [type(pdu) for pdu, _ in commands] == [ScsiCommand, ScsiCommand]
    assert [pdu.cmd_sn for pdu, _ in commands] == [7, 8]
    assert {pdu.initiator_task_tag for pdu, _ in commands} == {0, 1}
    for pdu, data in commands:
        assert (pdu.read, pdu.write, data, pdu.expected_data_transfer_length) == (True, False, b"", SIZE)
        assert pdu.cdb[0] == 0x88
        assert int.from_bytes(pdu.cdb[10:14]) * BLOCK_BYTES == SIZE
    tag = commands[0][0].initiator_task_tag
    half = SIZE // 2
    bench.answer((ScsiDataIn(final=False, initiator_task_tag=tag), bytes(half)), piece_bytes=piece_bytes)
    assert bench.session.pending == 2
    last = ScsiDataIn(has_status=True, initiator_task_tag=tag, data_sn=1, buffer_offset=half)
    bench.answer((last, bytes(half)), piece_bytes=piece_bytes)
    assert bench.session.pending == 1
    assert len(bench.session.latencies_ns[0]) == 1
    ((following, _),) = bench.begin()
    assert (following.initiator_task_tag, following.cmd_sn, following.exp_stat_sn) == (tag, 9, 101)


@pytest.mark.parametrize("digests", [False, True])
@pytest.mark.parametrize("immediate_bytes", [0, 2048, SIZE])
def test_writes_send_all_their_data_once(benches: list[Bench], digests: bool, immediate_bytes: int) -> None:
    bench = made(benches, digests=digests, write_percent=100, fua=True, immediate_bytes=immediate_bytes)
    (command, data), _ = bench.begin()
    assert (command.write, command.final, command.cdb[:2]) == (True, True, b"\x8a\x08")
    received = bytearray(data)
    assert len(received) == immediate_bytes
    while len(received) < SIZE:
        wanted = min(4096, SIZE - len(received))
        request = ReadyToTransfer(
            initiator_task_tag=command.initiator_task_tag,
            target_transfer_tag=5,
            buffer_offset=len(received),
            desired_data_transfer_length=wanted,
        )
        bench.answer((request, b""))
        outs = bench.sent()
        assert [type(pdu) for pdu, _ in outs] == [ScsiDataOut] * (wanted // 2048)
        assert [pdu.final for pdu, _ in outs] == [False] * (len(outs) - 1) + [True]
        assert [pdu.data_sn for pdu, _ in outs] == list(range(len(outs)))
        for pdu, piece in outs:
            assert (pdu.target_transfer_tag, pdu.buffer_offset) == (5, len(received))
            received += piece
    assert bytes(received) == bench.data
    bench.answer((ScsiResponse(initiator_task_tag=command.initiator_task_tag), b""))
    assert len(bench.session.latencies_ns[1]) == 1


def test_commands_wait_for_the_command_window(benches: list[Bench]) -> None:
    bench = made(benches, window=1)
    assert len(bench.begin()) == 1
    assert bench.begin() == []
    bench.portal.exp_cmd_sn = 8
    bench.answer((NopIn(), b""))
    assert len(bench.begin()) == 1


def test_a_ping_is_answered(benches: list[Bench]) -> None:
    bench = made(benches)
    bench.answer((NopIn(target_transfer_tag=9), b""))
    ((pong, _),) = bench.sent()
    assert isinstance(pong, NopOut)
    assert pong.target_transfer_tag == 9


def test_a_unit_attention_repeats_the_command(benches: list[Bench]) -> None:
    bench = made(benches)
    (command, _), _ = bench.begin()
    tag = command.initiator_task_tag
    bench.answer((ScsiResponse(status=2, initiator_task_tag=tag), UNIT_ATTENTION))
    ((again, _),) = bench.sent()
    assert (again.cdb, again.initiator_task_tag, again.cmd_sn) == (command.cdb, tag, 9)
    assert (bench.session.pending, bench.session.retried) == (2, 1)


@pytest.mark.parametrize(
    ("pdu", "data", "message"),
    [
        (ScsiResponse(status=2, initiator_task_tag=0), MEDIUM_ERROR, "3h/11h/00h"),
        (ScsiResponse(status=8, initiator_task_tag=0), b"", "status 0x08"),
        (ScsiResponse(response=1, initiator_task_tag=0), b"", "response 0x01"),
        (ScsiDataIn(has_status=True, initiator_task_tag=0), bytes(SIZE - 4), f"{SIZE - 4} bytes"),
        (ScsiDataIn(has_status=True, underflow=True, initiator_task_tag=0), bytes(SIZE), "flags 0x83"),
        (ScsiDataIn(has_status=True, initiator_task_tag=2), bytes(SIZE), "tag 0x2"),
        (ReadyToTransfer(initiator_task_tag=0, desired_data_transfer_length=4), b"", "R2T"),
    ],
)
def test_other_replies_end_the_load(benches: list[Bench], pdu: Any, data: bytes, message: str) -> None:
    bench = made(benches)
    bench.begin()
    with pytest.raises(LoadFailed, match=message):
        bench.answer((replace(pdu), data))


def test_a_wrong_digest_ends_the_load(benches: list[Bench]) -> None:
    bench = made(benches, digests=True)
    bench.begin()
    raw = bytearray(bench.portal.encode(ScsiDataIn(has_status=True, initiator_task_tag=0), bytes(SIZE)))
    raw[100] ^= 1
    bench.theirs.sendall(raw)
    with pytest.raises(LoadFailed, match="digest"):
        bench.session.receive()


def test_a_closed_connection_ends_the_load(benches: list[Bench]) -> None:
    bench = made(benches)
    bench.theirs.close()
    with pytest.raises(LoadFailed, match="closed"):
        bench.session.receive()


def test_a_login_that_fails_closes_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as portal:
        ours = socket.create_connection(portal.getsockname())
        monkeypatch.setattr(socket, "create_connection", lambda *_: ours)
        portal.accept()[0].close()
    with pytest.raises((LoadFailed, OSError)):
        LoggedIn(parse_url("iscsi://127.0.0.1:1/iqn.2026-11.example/0"), 0, digests=False)
    assert ours.fileno() == -1


@given(st.integers(1, 64), st.integers(8, 5000), st.booleans(), st.booleans())
def test_places_are_inside_the_lun_and_visited_once(size_blocks: int, capacity: int, is_random: bool, is_aligned: bool) -> None:
    shape = Shape(size_blocks * BLOCK_BYTES, 1, is_random=is_random, is_aligned=is_aligned)
    found = places(shape, capacity, Random(1))
    assert len(found) == (capacity - (not is_aligned)) // size_blocks
    assert all(
        0 <= lba <= capacity - size_blocks and (lba % size_blocks == 0) == (is_aligned or size_blocks == 1) for lba in found
    )
    assert all(after - before >= size_blocks for before, after in pairwise(sorted(found)))
    assert is_random or found == sorted(found)


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_percentiles_are_those_of_the_nearest_rank(latencies_ns: list[int]) -> None:
    found = percentiles(latencies_ns)
    for name, permille in (("p50", 500), ("p99", 990), ("p99.9", 999)):
        value = found[name] * 1000
        not_above = sum(each <= value + 0.5 for each in latencies_ns)
        below = sum(each < value - 0.5 for each in latencies_ns)
        assert not_above * 1000 >= permille * len(latencies_ns)
        assert below * 1000 < permille * len(latencies_ns)


def test_no_latencies_have_no_percentiles() -> None:
    assert percentiles([]) == {}


def test_a_load_of_a_number_of_commands_ends_after_them() -> None:
    ending = Ending(3, 0.0)
    assert ending.allowed() == 3
    ending.began(3)
    assert ending.allowed() == 0


def test_a_shape_survives_json() -> None:
    shape = Shape(4096, 8, 16, write_percent=30, is_aligned=False, fua=True, digests=True)
    assert Shape.from_json(shape.as_json()) == shape


async def test_a_copy_by_one_token_copies_all_blocks() -> None:
    luns = (LunConfig("first", 1 << 20), LunConfig("second", 1 << 20))
    async with running(Config(luns=luns)) as array, session_with(array) as session:
        source, destination = [await Disk.probe(session.logical_unit(lun), trio.sleep, "disk") for lun in (0, 1)]
        data = Random(1).randbytes(1 << 20)
        await source.write_blocks(0, data)
        _, writes = await copy_by_one_token(source, destination, 2000)
        assert bytes(await destination.read_blocks(0, 2048)) == data[: 2000 * 512] + bytes(48 * 512)
        assert writes == 1


@pytest.mark.parametrize(
    "shape",
    [
        Shape(4096, 4),
        Shape(4096, 2, sessions=3, is_aligned=False),
        Shape(4096, 4, write_percent=50, digests=True),
        Shape(4096, 4, write_percent=100, fua=True),
        Shape(1 << 20, 2, write_percent=50, digests=True, is_random=False),
    ],
)
async def test_a_load_runs_against_an_array(shape: Shape) -> None:
    async with running(Config(luns=(LunConfig("first", 8 << 20),))) as array:
        url = f"iscsi://{array.portals[0]}/{array.config.iqn}/0"
        ran = await trio.to_thread.run_sync(lambda: run_load(url, shape, count=40))
    assert ran.commands == 40
    assert ran.seconds > 0
    assert bool(ran.reads_us) == (shape.write_percent < 100)
    assert bool(ran.writes_us) == (shape.write_percent > 0)
