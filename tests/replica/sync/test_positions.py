"""Tests of the positions of streams: which of two members has more, and after which change the primary must ship."""

from odx_target.replica.sync.positions import (
    NO_LOG,
    NO_POSITION,
    OPEN,
    StreamPosition,
    contains,
    decode_position,
    opened,
    reached,
)

A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


def test_a_position_survives_a_restart() -> None:
    for position in (NO_POSITION, StreamPosition(A, 5, 7, B, 3, 4), opened(A, NO_POSITION, 9)):
        assert decode_position(position.encode()) == position


def test_a_missing_or_damaged_record_is_no_stream() -> None:
    for value in (None, b"", b"x" * 71, b"x" * 73):
        assert decode_position(value) == NO_POSITION


def test_an_open_position_ends_where_the_log_ends() -> None:
    position = opened(A, NO_POSITION, 10)
    assert position.is_open
    assert position.closed(20) == StreamPosition(A, 20, 20, NO_LOG, 0, 10)
    assert position.closed(20).closed(30).osn == 20, "what was lost does not come back with other records"


def test_a_former_primary_goes_on_in_its_log() -> None:
    closed = opened(A, StreamPosition(B, 4, 4), 10).closed(20)
    assert opened(A, closed, 30) == StreamPosition(A, OPEN, OPEN, B, 4, 10)


def test_positions_in_one_log_are_compared() -> None:
    assert reached(StreamPosition(A, 8, 12), opened(A, NO_POSITION, 1).closed(20)) == (8, 12)


def test_a_member_without_a_stream_has_nothing() -> None:
    assert reached(NO_POSITION, opened(A, NO_POSITION, 1)) is None
    assert reached(NO_POSITION, NO_POSITION) is None


def test_the_former_primary_has_everything_up_to_the_begin_of_the_new_one() -> None:
    handed_over = opened(A, NO_POSITION, 1).closed(50)
    primary = opened(B, StreamPosition(A, 50, 50), 7)
    assert reached(handed_over, primary) == (6, 6)
    assert reached(handed_over, primary.closed(90)) == (6, 6)


def test_a_new_primary_that_has_lost_the_end_of_its_base_has_not_everything() -> None:
    handed_over = opened(A, NO_POSITION, 1).closed(50)
    assert reached(handed_over, opened(B, StreamPosition(A, 48, 48), 7)) is None


def test_a_primary_contains_what_the_former_one_has_left() -> None:
    primary = opened(B, StreamPosition(A, 50, 50), 7).closed(90)
    assert contains(primary, StreamPosition(A, 49, 49))
    assert not contains(primary, StreamPosition(A, 49, 51))
    assert not contains(primary, StreamPosition(A, 51, 51))
    assert not contains(primary, StreamPosition(C, 1, 1))
    assert not contains(opened(A, NO_POSITION, 1).closed(9), NO_POSITION)


def test_a_former_primary_that_has_lost_its_end_cannot_continue() -> None:
    primary = opened(B, StreamPosition(A, 50, 50), 7)
    assert reached(StreamPosition(A, 49, 49), primary) is None
    assert reached(StreamPosition(C, 60, 60), primary) is None
