import socket

import trio

from odx_target.target.server.send_queue import MAX_PIECES, MAX_UNSENT_BYTES, SendQueue


async def _read_all(reader: trio.SocketStream, size_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < size_bytes:
        data += await reader.receive_some(65536)
    return bytes(data)


async def _sends(buffers: list[bytes], batches: int = 1) -> None:
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        queue = SendQueue(left)
        async with trio.open_nursery() as nursery:
            for _ in range(batches):
                if not queue.send_now(buffers):
                    nursery.start_soon(queue.drain)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(right))
            expected = b"".join(buffers) * batches
            assert await _read_all(stream, len(expected)) == expected
        assert queue.send_now([])


async def test_what_fits_leaves_at_once() -> None:
    await _sends([b"abc", b"", b"defg"])


async def test_what_does_not_fit_leaves_when_the_peer_reads_and_in_order() -> None:
    await _sends([bytes([number]) * 70_000 for number in range(40)], batches=3)


async def test_more_pieces_than_one_call_takes() -> None:
    await _sends([b"%05d" % number for number in range(MAX_PIECES * 2 + 1)])


async def test_small_reads_are_bounded_until_the_queue_is_empty() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        queue = SendQueue(left)
        data = bytes(8 * MAX_UNSENT_BYTES)
        queue.count_small_reads(MAX_UNSENT_BYTES)
        assert not queue.send_now([data])
        assert queue.takes_more
        queue.count_small_reads(1)
        assert not queue.takes_more
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queue.drain)
            await _read_all(trio.SocketStream(trio.socket.from_stdlib_socket(right)), len(data))
        assert queue.takes_more
