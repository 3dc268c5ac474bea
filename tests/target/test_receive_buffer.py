from hypothesis import given
from hypothesis import strategies as st

from odx_target.target.receive_buffer import ReceiveBuffer

Step = tuple[int, int, bool]  # bytes received, bytes consumed, hold


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60), st.booleans()), max_size=60))
def test_it_hands_on_every_byte_in_order_and_never_writes_over_what_is_held(steps: list[Step]) -> None:
    buffer = ReceiveBuffer(64)
    sent = consumed = 0
    held: list[tuple[memoryview, bytes]] = []
    for received_bytes, consumed_bytes, hold in steps:
        free = buffer.free()
        unconsumed = sent - consumed
        assert len(free) > 0 or unconsumed == 64
        size = min(received_bytes, len(free))
        free[:size] = bytes((sent + index) % 251 for index in range(size))
        buffer.filled(size)
        sent += size
        view = buffer.view()
        assert bytes(view) == bytes(index % 251 for index in range(consumed, sent))
        take = min(consumed_bytes, len(view))
        if hold:
            held.append((view[:take], bytes(view[:take])))
            buffer.hold()
        buffer.consumed(take)
        consumed += take
    assert all(bytes(view) == copy for view, copy in held)


def test_a_full_buffer_with_a_consumed_front_makes_room() -> None:
    buffer = ReceiveBuffer(64)
    buffer.free()
    buffer.filled(64)
    buffer.consumed(10)
    assert len(buffer.free()) == 10
