from hypothesis import given
from hypothesis import strategies as st

from odx_target.target.server.receive_buffer import ReceiveBuffer


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60)), max_size=60))
def test_it_hands_on_every_byte_in_order(steps: list[tuple[int, int]]) -> None:
    buffer = ReceiveBuffer(64)
    sent = consumed = 0
    for received_bytes, consumed_bytes in steps:
        free = buffer.free()
        assert len(free) > 0 or sent - consumed == 64
        size = min(received_bytes, len(free))
        free[:size] = bytes((sent + index) % 251 for index in range(size))
        buffer.filled(size)
        sent += size
        view = buffer.view()
        assert bytes(view) == bytes(index % 251 for index in range(consumed, sent))
        taken = min(consumed_bytes, len(view))
        buffer.consumed(taken)
        consumed += taken


def test_a_full_buffer_with_a_consumed_front_makes_room() -> None:
    buffer = ReceiveBuffer(64)
    buffer.free()
    buffer.filled(64)
    buffer.consumed(10)
    assert len(buffer.free()) == 10
