"""The array of a test: start and stop from every kind of program, its names, its reset."""

import asyncio
import os
import socket
import threading
import unittest
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.url import parse_url
from odx_target.target.config.error import ConfigError
from odx_target.target.control.arguments import ManagementError
from odx_target.testing import RunningArray, running_array
from odx_target.testing.loop_thread import LoopEnded

KIB = 1 << 10
MAX_ARRAY_BYTES = 2 << 20
"""Memory of an array for tests, with which a hundred of them fit into a process."""


def _accepts(array: RunningArray) -> bool:
    host, _, port = array.portal.rpartition(":")
    try:
        with socket.create_connection((host, int(port))):
            return True
    except ConnectionRefusedError:
        return False


def test_an_array_runs_from_the_beginning_to_the_end_of_the_block() -> None:
    before = threading.active_count()
    with running_array(luns={"a": "1G", "b": "64M,block=4096"}) as array:
        assert _accepts(array)
        url = parse_url(array.url("b"))
        assert (str(url.portal), url.target_name, url.lun) == (array.portal, array.target, 1)
        with array.host() as host:
            host.write("b", 1, bytes(range(256)) * 16)
        assert array.read("b", 4096, 4) == b"\x00\x01\x02\x03"
    assert not _accepts(array)
    assert threading.active_count() <= before + 16  # trio keeps idle threads for later work


def test_two_arrays_share_nothing() -> None:
    with running_array() as one, running_array() as other:
        one.fill("a", b"1", size=8)
        other.fill("a", b"2", size=8)
        assert (one.read("a", 0, 8), other.read("a", 0, 8)) == (b"1" * 8, b"2" * 8)
        one.clock.advance(121)
        assert (one.clock.advanced_s, other.clock.advanced_s) == (121, 0)


def test_a_hundred_arrays_in_one_process() -> None:
    before_bytes = _resident_bytes()
    with ExitStack() as stack:
        arrays = [stack.enter_context(running_array()) for _ in range(100)]
        assert _resident_bytes() - before_bytes < 100 * MAX_ARRAY_BYTES
        assert len({array.portal for array in arrays}) == 100
        for number, array in enumerate(arrays):
            array.write("a", 0, bytes([number]))
        assert [array.read("a", 0, 1)[0] for array in arrays] == list(range(100))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_default_luns_are_a_and_b() -> None:
    with running_array() as array:
        assert (array.lun_number("a"), array.lun_number("b")) == (0, 1)
        assert len(array.read("b")) == 64 * KIB * KIB


async def test_an_array_runs_in_a_trio_program() -> None:
    async with running_array() as array:
        assert await trio.to_thread.run_sync(_accepts, array)
        array.fill("a", size=KIB)  # no deadlock, although the call waits in this event loop
        assert array.read("a", 0, 1) == b"\xa5"
    assert not await trio.to_thread.run_sync(_accepts, array)


def test_an_array_runs_in_an_asyncio_program() -> None:
    async def main() -> RunningArray:
        async with running_array() as array:
            assert await asyncio.to_thread(_accepts, array)
            array.fill("a", size=KIB)
            assert array.read("a", 0, 1) == b"\xa5"
        return array

    assert not _accepts(asyncio.run(main()))


def test_an_array_runs_in_a_unittest() -> None:
    class Case(unittest.TestCase):
        def setUp(self) -> None:
            self.array = self.enterContext(running_array())

        def test_it(self) -> None:
            self.assertTrue(_accepts(self.array))  # noqa: PT009 - as users write it

    result = unittest.TestResult()
    Case("test_it").run(result)
    assert result.wasSuccessful(), result.errors + result.failures
    assert result.testsRun == 1


def test_the_array_stops_if_the_body_fails() -> None:
    array = running_array()
    with pytest.raises(ZeroDivisionError), array:
        raise ZeroDivisionError
    assert not _accepts_after_stop(array)


def _accepts_after_stop(array: RunningArray) -> bool:
    with pytest.raises(LoopEnded, match="the array has been stopped"):
        array.read("a", 0, 1)
    return _accepts(array)


def test_data_in_a_directory_outlives_the_array(tmp_path: Path) -> None:
    with running_array(directory=tmp_path / "pool") as array:
        array.write("a", 1000, b"kept")
    with running_array(directory=tmp_path / "pool") as array:
        assert array.read("a", 1000, 4) == b"kept"


@pytest.mark.parametrize("in_directory", [False, True])
def test_a_reset_makes_the_array_new_at_the_same_port(tmp_path: Path, in_directory: bool) -> None:
    with running_array(directory=tmp_path / "pool" if in_directory else None) as array:
        portal, empty = array.portal, array.digest("a")
        host = array.host()
        array.fill("a", size=KIB)
        array.snapshot("one")
        token = host.populate_token("a")
        array.clock.advance(10)
        array.reset()
        assert (array.portal, array.digest("a"), len(array.commands), array.offload.tokens) == (portal, empty, 0, 0)
        assert array.clock.advanced_s == 0
        assert array.manage("snapshots") == {"snapshots": []}
        with pytest.raises(InitiatorError):
            host.read("a", 0, 1)
        with pytest.raises(InitiatorError, match="token"):
            array.host().write_using_token("b", token)


def test_snapshots_bring_back_the_content() -> None:
    with running_array() as array:
        array.write("a", 0, b"old a")
        array.write("b", 0, b"old b")
        array.snapshot("before")
        array.write("a", 0, b"new a")
        array.write("b", 0, b"new b")
        array.restore("before", "a")
        assert (array.read("a", 0, 5), array.read("b", 0, 5)) == (b"old a", b"new b")
        array.restore("before")
        assert array.read("b", 0, 5) == b"old b"
        with pytest.raises(ManagementError, match="snapshot"):
            array.restore("never taken", "a")
        with pytest.raises(ManagementError, match="no LUN has a snapshot called 'befor'"):
            array.restore("befor")


def test_every_management_operation_is_at_hand() -> None:
    with running_array() as array:
        array.manage("resize", name="a", size="128M")
        assert len(array.read("a", (64 << 20), 1)) == 1
        with pytest.raises(ManagementError, match="there is no operation 'explode'"):
            array.manage("explode")


def test_settings_are_those_of_a_configuration_file() -> None:
    with running_array(settings={"token-access": "creator", "iqn": "iqn.2026-11.com.example:t"}) as array:
        assert array.target == "iqn.2026-11.com.example:t"
    with running_array(settings={"lun": [{"name": "only", "size": "1M"}]}) as array:
        assert array.lun_number("only") == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"luns": {"a": "much"}}, ConfigError, "size 'much'"),
        ({"luns": {}}, ConfigError, "no LUN"),
        ({"clock": "real"}, ValueError, "want shifted or virtual"),
        ({"settings": {"no-such-key": 1}}, ConfigError, "unknown key 'no-such-key'"),
        ({"host": "192.0.2.1"}, OSError, "cannot listen there"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message), running_array(**arguments):  # type: ignore[arg-type]
        pass


def test_unknown_luns_are_named() -> None:
    with running_array() as array:
        for call in (array.url, array.read, array.digest, array.host().populate_token):
            with pytest.raises(ConfigError, match="there is no LUN c"):
                call("c")  # type: ignore[operator]


@pytest.mark.parametrize(
    "use",
    [
        lambda array: array.url("a"),
        lambda array: array.portal,
        lambda array: array.target,
        lambda array: array.read("a"),
        lambda array: array.commands,
        lambda array: array.offload,
        lambda array: array.clock.advance(1),
        lambda array: array.host(),
        lambda array: array.reset(),
    ],
)
def test_an_array_that_was_not_started_says_so(use: Callable[[RunningArray], object]) -> None:
    array = running_array()
    with pytest.raises(RuntimeError, match="has not been started"):
        use(array)
    array.stop()
