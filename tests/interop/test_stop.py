"""Tests that a server stops cleanly during any work of its sessions, and loses no data."""

import signal
import threading

import pytest

from tests.interop.blocks import pattern, read_blocks, write_blocks
from tests.interop.conftest import Login, Start
from tests.interop.libiscsi import Initiator, LibiscsiError
from tests.interop.serving import DidNotServe

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-stop")]

LUNS = ("first=64M", "second=64M,block=4096")
LOAD_TIMEOUT_S = 30
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS)
def test_an_idle_server_stops(start: Start, number: signal.Signals) -> None:
    assert start(LUNS).stop(number) == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_a_server_with_sessions_stops_and_remembers_its_luns_and_data(
    start: Start, login: Login, number: signal.Signals
) -> None:
    served = start(LUNS)
    session = login(served, 0, 1)
    write_blocks(session, 0, 7, pattern(1, 7, 100))
    write_blocks(session, 1, 7, pattern(2, 7, 100, 4096), 4096)
    pages = [session.execute(lun, bytes.fromhex("12018300ff00"), data_in_bytes=255).data_in for lun in (0, 1)]
    assert served.stop(number) == 0
    session = login(start(), 0, 1)
    assert read_blocks(session, 0, 7, 100) == pattern(1, 7, 100)
    assert read_blocks(session, 1, 7, 100, 4096) == pattern(2, 7, 100, 4096)
    assert [session.execute(lun, bytes.fromhex("12018300ff00"), data_in_bytes=255).data_in for lun in (0, 1)] == pages


def test_a_server_under_load_stops(start: Start, login: Login) -> None:
    served = start(LUNS)
    session = login(served, 0)
    under_way = threading.Event()
    acknowledged: list[int] = []
    thread = threading.Thread(target=_write_until_cut_off, args=(session, acknowledged, under_way))
    thread.start()
    try:
        assert under_way.wait(LOAD_TIMEOUT_S)
        assert served.stop() == 0
    finally:
        served.kill()
        thread.join(LOAD_TIMEOUT_S)
    assert not thread.is_alive()
    again = login(start(), 0)
    for number in acknowledged[-50:]:
        assert read_blocks(again, 0, 8 * number, 8) == pattern(number, 8 * number, 8)


def _write_until_cut_off(session: Initiator, acknowledged: list[int], under_way: threading.Event) -> None:
    for number in range(16_000):
        try:
            write_blocks(session, 0, 8 * number, pattern(number, 8 * number, 8))
        except LibiscsiError:
            return
        acknowledged.append(number)
        if number == 100:
            under_way.set()


def test_a_pool_in_use_is_refused_in_one_line(start: Start) -> None:
    start(LUNS)
    with pytest.raises(DidNotServe) as refused:
        start(LUNS)
    assert "Traceback" not in str(refused.value)


def test_a_killed_server_leaves_a_pool_that_another_may_have(start: Start) -> None:
    served = start(LUNS)
    served.kill()
    assert served.process.returncode == -signal.SIGKILL
    assert start().stop() == 0
