"""The comparison of recorded and replayed answers: bytes, and how far a connection has ended."""

import pytest

from odx_target.replay.answer_streams import AnswerStreams, StreamEnd
from odx_target.target.session_file.frames import FrameFlag


@pytest.mark.parametrize("recorded", StreamEnd)
@pytest.mark.parametrize("replayed", StreamEnd)
def test_the_end_of_a_connection_is_compared(recorded: StreamEnd, replayed: StreamEnd) -> None:
    streams = AnswerStreams()
    streams.recorded(1, b"", recorded)
    streams.replayed(1, b"", replayed)
    difference = streams.compare()
    assert (difference is None) is (recorded is replayed)
    if difference is not None:
        text = "\n".join(difference.lines())
        assert recorded.words in text
        assert replayed.words in text


@pytest.mark.parametrize("end", [StreamEnd.LAST_OUTPUT, StreamEnd.CLOSED])
def test_an_end_that_may_still_come_is_no_difference(end: StreamEnd) -> None:
    streams = AnswerStreams()
    streams.replayed(1, b"", end)
    assert streams.compare(recorded_may_lag=True) is None
    assert streams.compare(replayed_may_lag=True) is not None


def test_a_later_output_does_not_open_a_connection_again() -> None:
    streams = AnswerStreams()
    streams.recorded(1, b"", StreamEnd.CLOSED)
    streams.recorded(1, b"", StreamEnd.LAST_OUTPUT)
    streams.replayed(1, b"", StreamEnd.CLOSED)
    assert streams.compare() is None


def test_flags_of_a_frame() -> None:
    assert StreamEnd.of(FrameFlag.END_OF_OUTPUT | FrameFlag.BUSY) is StreamEnd.LAST_OUTPUT
    assert StreamEnd.of(FrameFlag.BUSY) is StreamEnd.OPEN
