"""The division of a process's descriptors. Sockets are refused before other users lack descriptors."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from odx_target.initiator import cdb
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.target import file_descriptors
from odx_target.target.file_descriptors import (
    MAX_READS,
    MAX_SEGMENTS,
    MAX_SOCKETS,
    MIN_READS,
    MIN_SEGMENTS,
    MIN_SOCKETS,
    UPKEEP,
    divide,
    raise_limit,
)
from tests.target.running import is_good, running, session_with, settled

OPTIONS_OF_ANOTHER = SessionOptions(isid=random_isid(b"another"))
FIXED = 3 + sum(UPKEEP.values()) + 1
LEAST = FIXED + MIN_READS + MIN_SOCKETS + MIN_SEGMENTS


@given(limit=st.integers(LEAST, 1 << 22), count_open=st.just(3), count_portals=st.just(1))
def test_what_is_given_out_is_there(limit: int, count_open: int, count_portals: int) -> None:
    sockets, segments = divide(limit, count_open, count_portals)
    assert MIN_SOCKETS <= sockets <= MAX_SOCKETS
    assert MIN_SEGMENTS <= segments <= MAX_SEGMENTS
    assert sockets + segments + FIXED + MIN_READS <= limit
    if limit >= FIXED + 8 * MAX_READS:
        assert sockets + segments + FIXED + MAX_READS <= limit


@pytest.mark.parametrize(
    ("limit", "sockets", "segments"),
    [(LEAST, MIN_SOCKETS, MIN_SEGMENTS), (64, 10, 10), (256, 100, 100), (1024, 484, 484), (1 << 20, MAX_SOCKETS, MAX_SEGMENTS)],
)
def test_some_divisions(limit: int, sockets: int, segments: int) -> None:
    assert divide(limit, 3, 1) == (sockets, segments)


def test_too_few_are_refused_by_one_line() -> None:
    with pytest.raises(OSError, match=rf"^\[Errno {errno.EMFILE}\] {LEAST - 1} .* at least {LEAST} are needed \(ulimit -n\)$"):
        divide(LEAST - 1, 3, 1)


def test_each_portal_and_what_is_open_already_count() -> None:
    divide(LEAST + 5, 5, 4)
    with pytest.raises(OSError, match="too few"):
        divide(LEAST + 4, 5, 4)


INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "result"),
    [
        (1024, 4096, (4096, 4096), 4096),
        (4096, 4096, None, 4096),
        (1024, INFINITE, (1 << 20, INFINITE), 1 << 20),
        (INFINITE, INFINITE, None, 1 << 20),
    ],
)
def test_the_soft_limit_is_raised_to_the_hard_one(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: tuple[int, int] | None, result: int
) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(file_descriptors.resource, "getrlimit", lambda _which: (soft, hard))
    monkeypatch.setattr(file_descriptors.resource, "setrlimit", lambda _which, limits: calls.append(limits))
    assert raise_limit() == result
    assert calls == ([] if raised is None else [raised])


@pytest.mark.parametrize("error", [ValueError("not allowed"), PermissionError(errno.EPERM, "not allowed")])
def test_a_limit_that_cannot_be_raised_stays(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(file_descriptors.resource, "getrlimit", lambda _which: (256, 512))
    monkeypatch.setattr(file_descriptors.resource, "setrlimit", refuse)
    assert raise_limit() == 256


def test_what_is_open_is_counted() -> None:
    before = file_descriptors.count_open()
    opened = os.open("/dev/null", os.O_RDONLY)
    assert file_descriptors.count_open() == before + 1
    os.close(opened)


def test_serve_needs_some(tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    done = subprocess.run(
        [sys.executable, "-m", "odx_target", "serve", str(tmp_path / "pool"), "--lun", "a=1M"],
        preexec_fn=limited,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("odx-target: 40 file descriptors are too few")
    assert len(done.stderr.splitlines()) == 1


async def test_hosts_keep_their_sessions_and_strangers_give_way() -> None:
    with capture_logs() as logs:
        async with running(max_sockets=4) as array, session_with(array) as session:
            await settled(session)
            strangers = [await trio.open_tcp_stream(array.portals[0].host, array.portals[0].port) for _ in range(12)]
            await trio.testing.wait_all_tasks_blocked()
            assert len(array._listener._connections) <= 4
            assert is_good(await session.execute(0, cdb.write_16(0, 1), b"w" * 512))
            async with session_with(array, OPTIONS_OF_ANOTHER) as other:
                await settled(other)
            for stranger in strangers:
                await stranger.aclose()
    refusals = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert refusals == ["too many open sockets, the oldest that has not logged in is closed"], "one line a minute"


async def test_past_the_limit_a_host_is_refused_and_those_there_go_on() -> None:
    with capture_logs() as logs:
        async with running(max_sockets=1) as array, session_with(array) as session:
            await settled(session)
            for _ in range(3):
                with pytest.raises((InitiatorError, OSError)):
                    async with session_with(array, OPTIONS_OF_ANOTHER):
                        raise AssertionError("there was room")
            assert is_good(await session.execute(0, cdb.write_16(0, 1), b"w" * 512))
    refusals = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert refusals == ["too many open sockets, a connection is refused"]
