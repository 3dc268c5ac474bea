"""Runs a load: all sessions in one thread, with one epoll."""

import itertools
import math
import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load.login import TIMEOUT_S, LoadFailed, LoggedIn
from bench.load.session import LoadSession
from bench.load.shape import Shape, prepare

from odx_target.initiator.url import parse_url

SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
Latencies = dict[str, float]
"""Microseconds by the name of the percentile."""


@dataclass(frozen=True)
class Ran:
    """The result of a load. `client_busy` is the share of one processor that the load generator used; near 1, it is the limit.
    `retried` is the number of commands that were sent again after a unit attention.
    """

    commands: int
    seconds: float
    client_busy: float
    retried: int
    reads_us: Latencies
    writes_us: Latencies


class Ending:
    """The end of a load: after a number of commands if there is one, otherwise after a time."""

    def __init__(self, count: int | None, duration_s: float) -> None:
        self.left = count
        self._deadline_s = time.perf_counter() + duration_s

    def allowed(self) -> int:
        """Return how many more commands may begin now."""
        if self.left is not None:
            return self.left
        return 1 << 30 if time.perf_counter() < self._deadline_s else 0

    def began(self, commands: int) -> None:
        if self.left is not None:
            self.left -= commands


def run_load(url: str, shape: Shape, *, count: int | None = None, duration_s: float = 1.0) -> Ran:
    """Log in all sessions and run the load, for `count` commands or for a time. Raises LoadFailed."""
    address = parse_url(url)
    logged_in: list[LoggedIn] = []
    try:
        for number in range(shape.sessions):
            logged_in.append(LoggedIn(address, number, digests=shape.digests))
        data = os.urandom(shape.size_bytes)
        sessions = [_session(each, shape, address.lun, data, seed) for seed, each in enumerate(logged_in)]
        used_s, began_s = time.process_time(), time.perf_counter()
        _drive(sessions, Ending(count, duration_s))
        seconds = time.perf_counter() - began_s
        used_s = time.process_time() - used_s
    finally:
        for each in logged_in:
            each.socket.close()
    reads, writes = (
        list(itertools.chain.from_iterable(each)) for each in zip(*(s.latencies_ns for s in sessions), strict=True)
    )
    retried = sum(session.retried for session in sessions)
    return Ran(len(reads) + len(writes), seconds, used_s / seconds, retried, percentiles(reads), percentiles(writes))


def _session(logged_in: LoggedIn, shape: Shape, lun: int, data: bytes, seed: int) -> LoadSession:
    prepared = prepare(shape, lun, logged_in.capacity_blocks, logged_in.immediate_bytes, seed)
    if not prepared:
        raise LoadFailed(f"the logical unit is too small for commands of {shape.size_bytes} bytes")
    return LoadSession(logged_in, itertools.cycle(prepared), shape.size_bytes, shape.depth, data)


def _drive(sessions: Sequence[LoadSession], ending: Ending) -> None:
    """Keep the sessions busy until the end of the load, and then until their last reply."""
    by_descriptor = {each.socket.fileno(): each for each in sessions}
    waiting_to_send: set[int] = set()
    with select.epoll() as poll:
        for descriptor, session in by_descriptor.items():
            session.socket.setblocking(False)
            poll.register(descriptor, select.EPOLLIN)
        ready = list(by_descriptor.items())
        while True:
            for descriptor, session in ready:
                ending.began(session.begin(ending.allowed()))
                session.send()
                if session.has_output != (descriptor in waiting_to_send):
                    waiting_to_send ^= {descriptor}
                    poll.modify(descriptor, select.EPOLLIN | (select.EPOLLOUT if session.has_output else 0))
            if not any(session.pending for session in sessions):
                return
            events = poll.poll(TIMEOUT_S)
            if not events:
                raise LoadFailed(f"the target sent no reply for {TIMEOUT_S:g} s")
            ready = [(descriptor, by_descriptor[descriptor]) for descriptor, _ in events]
            for descriptor, event in events:
                if event & ~select.EPOLLOUT:
                    by_descriptor[descriptor].receive()


def percentiles(latencies_ns: list[int]) -> Latencies:
    """Return the percentiles in microseconds, by the method of the nearest rank; nothing if there are no latencies."""
    ordered = sorted(latencies_ns)
    if not ordered:
        return {}
    return {name: ordered[math.ceil(share * len(ordered)) - 1] / 1e3 for name, share in SHARES.items()}
