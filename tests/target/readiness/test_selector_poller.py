"""The poller of systems without epoll: the same behaviour with selectors with and without a descriptor."""

import selectors
import socket
from collections.abc import Callable, Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from odx_target.target.readiness.poller import READABLE, open_poller
from odx_target.target.readiness.selector_poller import SelectorPoller

SELECTORS = [selectors.DefaultSelector, selectors.SelectSelector, selectors.PollSelector]


@pytest.fixture(params=SELECTORS, ids=lambda selector: selector.__name__)
def poller(request: pytest.FixtureRequest) -> Iterator[Callable[[], SelectorPoller]]:
    made: list[SelectorPoller] = []

    def make() -> SelectorPoller:
        made.append(SelectorPoller(request.param))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


async def test_readable_sockets_are_found(
    poller: Callable[[], SelectorPoller], pair: tuple[socket.socket, socket.socket]
) -> None:
    polled, (one, other) = poller(), pair
    assert polled.poll(0, 64) == []
    polled.register(one.fileno(), READABLE)
    assert polled.poll(0, 64) == []
    other.send(b"x")
    assert [fd for fd, _ in polled.poll(0, 64)] == [one.fileno()]
    polled.unregister(one.fileno())
    assert polled.poll(0, 64) == []
    with pytest.raises(ValueError, match="is not polled"):
        polled.unregister(one.fileno())


async def test_at_most_the_wanted_number_is_returned(poller: Callable[[], SelectorPoller]) -> None:
    polled = poller()
    pairs = [socket.socketpair() for _ in range(3)]
    try:
        for one, other in pairs:
            polled.register(one.fileno(), READABLE)
            other.send(b"x")
        assert len(polled.poll(0, 2)) == 2
        assert len(polled.poll(0, 64)) == 3
    finally:
        for each in (each for pair in pairs for each in pair):
            each.close()


async def test_a_wait_ends_when_a_socket_becomes_readable(
    poller: Callable[[], SelectorPoller], pair: tuple[socket.socket, socket.socket]
) -> None:
    polled, (one, other) = poller(), pair
    polled.register(one.fileno(), READABLE)
    ended = []

    async def wait() -> None:
        while not polled.poll(0, 64):
            await polled.wait()
        ended.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not ended
        other.send(b"x")
    assert ended


async def wait_for(polled: SelectorPoller, fd: int) -> None:
    """Wait until sockets are readable, and check that it is the one with this descriptor."""
    with trio.fail_after(20):
        while not (ready := polled.poll(0, 64)):
            await polled.wait()
    assert [each for each, _ in ready] == [fd]


async def test_a_socket_that_is_added_during_a_wait_is_seen(
    poller: Callable[[], SelectorPoller], pair: tuple[socket.socket, socket.socket]
) -> None:
    polled, (one, other) = poller(), pair

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for, polled, one.fileno())
        await wait_all_tasks_blocked()
        other.send(b"x")
        polled.register(one.fileno(), READABLE)


async def test_a_socket_may_be_closed_right_after_it_was_removed(
    poller: Callable[[], SelectorPoller], pair: tuple[socket.socket, socket.socket]
) -> None:
    polled, (one, _) = poller(), pair
    third, fourth = socket.socketpair()
    polled.register(one.fileno(), READABLE)
    polled.register(third.fileno(), READABLE)

    with fourth:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for, polled, third.fileno())
            await wait_all_tasks_blocked()
            polled.unregister(one.fileno())
            one.close()
            await wait_all_tasks_blocked()
            fourth.send(b"x")
    third.close()


async def test_a_closed_socket_cannot_be_polled(poller: Callable[[], SelectorPoller]) -> None:
    polled = poller()
    with pytest.raises(OSError, match="cannot be polled"):
        polled.register(-1, READABLE)


def test_a_closed_poller_is_closed(poller: Callable[[], SelectorPoller]) -> None:
    polled = poller()
    assert not polled.closed
    polled.close()
    polled.close()
    assert polled.closed


async def test_linux_uses_epoll_itself() -> None:
    import select

    polled, _ = open_poller()
    assert isinstance(polled, select.epoll)
    polled.close()
