"""Tests of slow copies: status queries, a second start, aborts, and many copies at once with ordinary I/O."""

import random
import threading
from collections.abc import Callable

import pytest

from tests.interop import token_bytes as raw
from tests.interop.blocks import CHUNK_BYTES, pattern, read_blocks, write_blocks
from tests.interop.conftest import Login, Start
from tests.interop.libiscsi import Initiator
from tests.interop.serving import Served

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-tokens")]

LARGE_LUNS = ("first=2G", "second=2G")
LIST_IDENTIFIER = 5
SLOW_COPY_BLOCKS = 393_216
"""Blocks of a slow copy: 192 MiB, which takes about a hundred times as long as a few commands."""

CHECKED_BLOCKS = 2048
MARKER = b"\xee" * 512
JOIN_TIMEOUT_S = 60


@pytest.fixture
def large(start: Start) -> Served:
    return start(LARGE_LUNS)


@pytest.fixture
def session(large: Served, login: Login) -> Initiator:
    return login(large, 0, 1)


def start_slow_copy(session: Initiator) -> int:
    """Start an unaligned copy of written blocks in the background, whose data must be moved. Returns the number of blocks."""
    filling = random.Random(1).randbytes(CHUNK_BYTES)
    for lba in range(0, SLOW_COPY_BLOCKS, CHUNK_BYTES // 512):
        write_blocks(session, 0, lba, filling)
    write_blocks(session, 0, 0, pattern(1, 0, CHECKED_BLOCKS))
    token = raw.make_token(session, 0, 1, [(0, SLOW_COPY_BLOCKS)])
    assert raw.write_using(session, 1, LIST_IDENTIFIER, token, [(1, SLOW_COPY_BLOCKS)], flags=raw.IMMED).outcome == "good"
    return SLOW_COPY_BLOCKS


def test_a_copy_in_the_background_is_reported_and_keeps_its_identifier(session: Initiator) -> None:
    start_slow_copy(session)
    second = raw.populate(session, 1, LIST_IDENTIFIER, [(0, 8)])
    answer = raw.receive_token_information(session, 1, LIST_IDENTIFIER)
    assert second.sense is not None
    assert second.sense.data.hex(" ") == "70 00 05 00 00 00 00 0a 00 00 00 00 00 16 00 00 00 00"
    assert answer.outcome == "good"
    assert answer.data_in[5] in (raw.IN_BACKGROUND, raw.COMPLETED)
    assert answer.data_in[4] == 0x11


def test_an_aborted_copy_writes_nothing_more(session: Initiator) -> None:
    count = start_slow_copy(session)
    assert raw.abort(session, 1, LIST_IDENTIFIER).outcome == "good"
    for lba in (1, count // 2, count):
        write_blocks(session, 1, lba, MARKER)
    answer = raw.receive_token_information(session, 1, LIST_IDENTIFIER)
    assert (answer.data_in[5], answer.data_in[12], answer.data_in[14]) == (raw.TERMINATED, 0x40, 0)
    copied = int.from_bytes(answer.data_in[16:24], "big")
    assert copied < count
    for lba in (1, count // 2, count):
        assert read_blocks(session, 1, lba, 1) == MARKER
    checked = min(copied, CHECKED_BLOCKS) - 1  # the first block holds the marker
    if checked > 0:
        assert read_blocks(session, 1, 2, checked) == pattern(1, 1, checked)
    assert raw.abort(session, 1, LIST_IDENTIFIER).outcome == "5/24/00"
    assert raw.receive_copy_status(session, 1, LIST_IDENTIFIER).data_in[5] == raw.TERMINATED


def test_a_reset_ends_a_copy_and_forgets_it(session: Initiator) -> None:
    count = start_slow_copy(session)
    session.lun_reset(1)
    session.ready(1)
    for lba in (1, count // 2, count):
        write_blocks(session, 1, lba, MARKER)
    assert raw.receive_token_information(session, 1, LIST_IDENTIFIER).outcome == "5/24/00"
    for lba in (1, count // 2, count):
        assert read_blocks(session, 1, lba, 1) == MARKER


def test_other_commands_are_served_beside_a_copy(session: Initiator, large: Served, login: Login) -> None:
    start_slow_copy(session)
    other = login(large, 0, 1, name="iqn.2026-11.example:other")
    write_blocks(other, 0, 3_000_001, pattern(2, 3_000_001, 1000))
    assert read_blocks(other, 0, 3_000_001, 1000) == pattern(2, 3_000_001, 1000)
    assert raw.abort(session, 1, LIST_IDENTIFIER).outcome in ("good", "5/24/00")


def test_four_copies_at_once_beside_reads_and_writes(large: Served, login: Login) -> None:
    copies, region = 4, 65_536
    sessions = [login(large, 0, 1, name=f"iqn.2026-11.example:host{number}") for number in range(copies + 2)]
    failures: list[BaseException] = []

    def guarded(job: Callable[[Initiator, int], None], session: Initiator, lba: int) -> None:
        try:
            job(session, lba)
        except BaseException as error:
            failures.append(error)

    jobs = [(_copy_around, sessions[number], number * region) for number in range(copies)]
    jobs += [(_read_and_write, sessions[copies + number], (copies + number) * region) for number in range(2)]
    threads = [threading.Thread(target=guarded, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_TIMEOUT_S)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


def _copy_around(session: Initiator, lba: int) -> None:
    source = random.Random(lba)
    for number in range(20):
        count = source.randint(1, 2000)
        place = lba + source.randrange(30_000)
        write_blocks(session, 0, place, pattern(number, place, count))
        token = raw.make_token(session, 0, 2 * number, [(place, count)])
        write_blocks(session, 0, place, pattern(99, place, count))
        target = lba + source.randrange(30_000)
        assert raw.write_using(session, 1, 2 * number + 1, token, [(target, count)], flags=raw.RTV_OR_DEL_TKN).outcome == "good"
        assert read_blocks(session, 1, target, count) == pattern(number, place, count)


def _read_and_write(session: Initiator, lba: int) -> None:
    source = random.Random(lba)
    for number in range(100):
        place, count = lba + source.randrange(30_000), source.randint(1, 128)
        write_blocks(session, 1, place, pattern(number, place, count))
        assert read_blocks(session, 1, place, count) == pattern(number, place, count)
