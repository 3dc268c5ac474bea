"""Examples of a session: the greeting, a channel from its request to its end, credit, keep-alive, and the end."""

import pytest

from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, ConnectionEnded, LinkError, TooManyChannels
from odx_target.replica.link.events import Answered, Closed, Ended, Opened, Received, Requested, RequestRefused
from odx_target.replica.link.frame import HEADER_BYTES, Frame, encode
from odx_target.replica.link.hello import Farewell, Hello, Side, common_version
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.limits import (
    DEAD_AFTER_S,
    HELLO_TIMEOUT_S,
    INITIAL_CREDIT_BYTES,
    MAX_BODY_BYTES,
    MAX_BUFFERED_BYTES,
    MAX_CREDIT_BYTES,
    MAX_OPENED_CHANNELS,
    MAX_UNSENT_BYTES,
)
from odx_target.replica.link.refusals import encode_refusal
from odx_target.replica.link.session import State
from odx_target.replica.link.throttle import Rates
from tests.replica.link.pairs import POOLS, Pair, hello_of, session_of

DIALLER, ACCEPTOR = Side.DIALLER, Side.ACCEPTOR


def pair_with_channel(traffic_class: TrafficClass = TrafficClass.TOKEN) -> tuple[Pair, int]:
    """An open pair, and a channel that the dialler has opened and the acceptor has accepted."""
    pair = Pair().opened()
    number = pair.sessions[DIALLER].open({"request": "test"}, traffic_class)
    pair.settle()
    pair.sessions[ACCEPTOR].answer(number, {})
    pair.settle()
    for side in Side:
        pair.events[side].clear()
    return pair, number


def test_both_sides_greet_and_agree() -> None:
    pair = Pair()
    pair.settle()
    for side, other in ((DIALLER, ACCEPTOR), (ACCEPTOR, DIALLER)):
        assert list(pair.events[side]) == [Opened(hello_of(other), 1)]
        assert pair.sessions[side].state is State.OPEN


@pytest.mark.parametrize(
    ("ours", "theirs", "version"),
    [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 5), (1, 3), 3), ((1, 1), (2, 2), None), ((3, 4), (1, 2), None)],
)
def test_the_highest_common_version_is_used(ours: tuple[int, int], theirs: tuple[int, int], version: int | None) -> None:
    assert common_version(ours, theirs) == version


def test_without_a_common_version_both_sides_end_with_one_clear_line() -> None:
    pair = Pair()
    pair.sessions[ACCEPTOR] = session_of(ACCEPTOR, hello=Hello(POOLS[ACCEPTOR], bytes(16), versions=(2, 3)))
    pair.settle()
    text = "no common version: this array knows 1 to 1, the peer 2 to 3"
    assert list(pair.events[DIALLER]) == [Ended(Farewell.VERSION, text, is_ours=True)]
    ended = pair.events[ACCEPTOR][-1]
    assert isinstance(ended, Ended)
    assert ended.code is Farewell.VERSION


def test_a_pool_that_was_not_paired_is_refused() -> None:
    pair = Pair()
    pair.sessions[ACCEPTOR] = session_of(ACCEPTOR, hello=Hello(bytes(16), bytes(16)))
    pair.settle()
    assert pair.events[DIALLER][0] == Ended(Farewell.STRANGER, "the peer has another pool than at the pairing", is_ours=True)


def test_a_peer_that_sends_no_hello_is_ended() -> None:
    session = session_of(ACCEPTOR)
    assert session.time_passed(HELLO_TIMEOUT_S - 0.1) == []
    (ended,) = session.time_passed(HELLO_TIMEOUT_S)
    assert isinstance(ended, Ended)
    assert ended.code is Farewell.FAULT


def test_no_channel_before_the_hello_of_the_peer() -> None:
    with pytest.raises(ConnectionEnded):
        session_of(DIALLER).open({}, TrafficClass.TOKEN)


def test_a_request_its_answer_an_exchange_and_the_end() -> None:
    pair = Pair().opened()
    dialler, acceptor = pair.sessions[DIALLER], pair.sessions[ACCEPTOR]
    number = dialler.open({"request": "test"}, TrafficClass.SNAPSHOT)
    with pytest.raises(LinkError):
        dialler.send(number, Kind.DATA, 0, b"too early")
    pair.settle()
    assert pair.events[ACCEPTOR].popleft() == Requested(number, TrafficClass.SNAPSHOT, {"request": "test"})
    acceptor.answer(number, {"size": 5})
    acceptor.send(number, Kind.DATA, 7, b"first")
    pair.settle()
    assert pair.events[DIALLER].popleft() == Answered(number, {"size": 5})
    assert pair.events[DIALLER].popleft() == Received(Frame(Kind.DATA, number, 7, b"first"))
    dialler.send(number, Kind.WANT, 7, b"want")
    dialler.close(number)
    pair.settle()
    assert list(pair.events[ACCEPTOR]) == [Received(Frame(Kind.WANT, number, 7, b"want")), Closed(number)]
    assert list(pair.events[DIALLER]) == []
    for session in (dialler, acceptor):
        with pytest.raises(ChannelEnded):
            session.send(number, Kind.DATA)
        session.close(number)
        session.consumed(number, 100)
        assert len(session._channels) == 0


def test_a_refused_request() -> None:
    pair = Pair().opened()
    number = pair.sessions[DIALLER].open({}, TrafficClass.TOKEN)
    pair.settle()
    pair.sessions[ACCEPTOR].refuse(number, "right", "the path has no right\nto this")
    pair.settle()
    assert list(pair.events[DIALLER]) == [RequestRefused(number, "right", "the path has no right?to this"), Closed(number)]
    assert [len(session._channels) for session in pair.sessions.values()] == [0, 0]


def test_a_request_is_answered_once() -> None:
    pair, number = pair_with_channel()
    for session in pair.sessions.values():
        with pytest.raises(LinkError):
            session.answer(number, {})
    with pytest.raises(LinkError, match="no request of the peer"):
        pair.sessions[DIALLER].refuse(number, "a", "b")


def test_an_exchange_that_cannot_go_on_is_refused_after_its_answer() -> None:
    pair, number = pair_with_channel()
    acceptor = pair.sessions[ACCEPTOR]
    acceptor.send(number, Kind.DATA, 0, b"sent")
    pair.send(ACCEPTOR)
    acceptor.send(number, Kind.DATA, 1, b"dropped")
    acceptor.refuse(number, "storage", "the block is damaged")
    with pytest.raises(ChannelEnded):
        acceptor.refuse(number, "storage", "again")
    pair.settle()
    assert list(pair.events[DIALLER]) == [
        Received(Frame(Kind.DATA, number, 0, b"sent")),
        RequestRefused(number, "storage", "the block is damaged"),
        Closed(number),
    ]
    assert [len(session._channels) for session in pair.sessions.values()] == [0, 0]


@pytest.mark.parametrize("kind", [Kind.REFUSAL, Kind.ANSWER, Kind.DATA])
def test_nothing_but_close_follows_a_refusal(kind: Kind) -> None:
    pair, number = pair_with_channel()
    dialler = pair.sessions[DIALLER]
    refusal = encode(Frame(Kind.REFUSAL, number, body=encode_refusal("storage", "")))
    body = {Kind.REFUSAL: encode_refusal("storage", ""), Kind.ANSWER: b"{}", Kind.DATA: b"data"}[kind]
    assert isinstance(dialler.receive(refusal, 0.0)[0], RequestRefused)
    (ended,) = dialler.receive(encode(Frame(kind, number, body=body)), 0.0)
    assert isinstance(ended, Ended)
    assert ended.code is Farewell.FAULT


def test_a_request_that_is_withdrawn_before_its_answer() -> None:
    pair = Pair().opened()
    number = pair.sessions[DIALLER].open({}, TrafficClass.TOKEN)
    pair.sessions[DIALLER].close(number)
    pair.settle()
    assert list(pair.events[ACCEPTOR]) == [Requested(number, TrafficClass.TOKEN, {}), Closed(number)]
    with pytest.raises(ChannelEnded):
        pair.sessions[ACCEPTOR].answer(number, {})
    assert len(pair.sessions[DIALLER]._channels) == 0


def test_both_sides_close_at_once() -> None:
    pair, number = pair_with_channel()
    for session in pair.sessions.values():
        session.send(number, Kind.WANT, 0, b"{}")
        session.close(number)
    pair.settle()
    assert [list(events) for events in pair.events.values()] == [[], []]
    assert [len(session._channels) for session in pair.sessions.values()] == [0, 0]


def test_a_side_sends_only_what_it_has_credit_for() -> None:
    pair, number = pair_with_channel()
    dialler, acceptor = pair.sessions[DIALLER], pair.sessions[ACCEPTOR]
    body = bytes(MAX_BODY_BYTES)
    for _ in range(4):
        dialler.send(number, Kind.DATA, 0, body)
    assert not dialler.has_room(number)
    pair.settle()
    received = [event.frame for event in pair.events[ACCEPTOR] if isinstance(event, Received)]
    assert len(received) == INITIAL_CREDIT_BYTES // (MAX_BODY_BYTES + HEADER_BYTES) == 2
    acceptor.consumed(number, received[0].size_bytes)
    pair.settle()
    assert len(pair.events[ACCEPTOR]) == 3
    assert dialler.has_room(number)
    assert len(body) < MAX_UNSENT_BYTES


def test_credit_can_be_widened_up_to_the_limits() -> None:
    pair, number = pair_with_channel()
    assert pair.sessions[ACCEPTOR].widen(number, 1 << 40) == MAX_CREDIT_BYTES
    assert pair.sessions[ACCEPTOR].widen(number, 1 << 20) == MAX_CREDIT_BYTES
    for _ in range(64):
        pair.sessions[DIALLER].send(number, Kind.DATA, 0, bytes(MAX_BODY_BYTES))
    pair.settle()
    received = sum(event.frame.size_bytes for event in pair.events[ACCEPTOR] if isinstance(event, Received))
    assert MAX_CREDIT_BYTES - MAX_BODY_BYTES - HEADER_BYTES < received <= MAX_CREDIT_BYTES


def test_all_channels_together_have_bounded_credit() -> None:
    pair = Pair().opened()
    numbers = [pair.sessions[DIALLER].open({}, TrafficClass.TOKEN) for _ in range(MAX_OPENED_CHANNELS)]
    with pytest.raises(TooManyChannels):
        pair.sessions[DIALLER].open({}, TrafficClass.TOKEN)
    pair.settle()
    widened = [pair.sessions[ACCEPTOR].widen(number, MAX_CREDIT_BYTES) for number in numbers]
    assert sum(widened) + MAX_OPENED_CHANNELS * INITIAL_CREDIT_BYTES <= MAX_BUFFERED_BYTES
    pair.sessions[ACCEPTOR].refuse(numbers[0], "busy", "")
    pair.settle()
    assert pair.sessions[ACCEPTOR].widen(numbers[-1], MAX_CREDIT_BYTES) == MAX_CREDIT_BYTES
    assert pair.sessions[DIALLER].open({}, TrafficClass.TOKEN) not in numbers


def test_numbers_of_channels_are_used_again_after_the_last() -> None:
    pair = Pair().opened()
    for side, first, last in ((DIALLER, 2, 65534), (ACCEPTOR, 1, 65535)):
        table = pair.sessions[side]._channels
        table._next = last
        assert [table.open(TrafficClass.TOKEN).number for _ in range(2)] == [last, first]


def test_the_throttle_delays_channels_and_nothing_else() -> None:
    pair, number = pair_with_channel()
    session = pair.sessions[DIALLER]
    session.throttle.rates = Rates(1_000_000)
    session.throttle.advance(0.0, 0.0)
    for _ in range(2):
        session.send(number, Kind.DATA, 0, bytes(250_000))
    assert session.has_output
    pair.settle()
    assert session.has_output
    assert session.take_output() == []
    assert [type(event) for event in pair.events[ACCEPTOR]] == [Received]
    session._outbox.put_pong(1)
    assert session.take_output() != []
    session.throttle.advance(session.throttle.ready_at_s, 0.0)
    pair.settle()
    assert len(pair.events[ACCEPTOR]) == 2
    assert not session.has_output


def test_a_silent_peer_is_noticed_and_a_ping_is_answered() -> None:
    pair = Pair().opened()
    dialler = pair.sessions[DIALLER]
    pair.now_s = dialler.deadline_s
    assert dialler.time_passed(pair.now_s) == []
    pair.settle()
    assert dialler.deadline_s == pair.now_s + 1.0
    for _ in range(4):
        assert dialler.time_passed(dialler.deadline_s) == []
    (ended,) = dialler.time_passed(dialler.deadline_s)
    assert ended == Ended(Farewell.STOPPING, "the peer has sent nothing for too long", is_ours=True)
    assert dialler.deadline_s == float("inf")
    assert dialler.time_passed(DEAD_AFTER_S * 100) == dialler.receive(b"late", 9.0) == dialler.take_output() == []


def test_many_pings_need_only_one_answer() -> None:
    pair = Pair().opened()
    for argument in range(1000):
        pair.sessions[ACCEPTOR].receive(encode(Frame(Kind.PING, argument=argument)), 0.0)
    pair.send(ACCEPTOR)
    assert len(pair.in_flight[ACCEPTOR]) == HEADER_BYTES


def test_the_reason_of_the_end_reaches_the_peer() -> None:
    pair, number = pair_with_channel()
    pair.sessions[DIALLER].send(number, Kind.DATA, 0, bytes(1000))
    ended = pair.sessions[DIALLER].end(Farewell.STOPPING, "the array stops")
    assert ended == Ended(Farewell.STOPPING, "the array stops", is_ours=True)
    assert pair.sessions[DIALLER].end(Farewell.STOPPING, "again") is None
    pair.settle()
    assert list(pair.events[ACCEPTOR]) == [Ended(Farewell.STOPPING, "the array stops", is_ours=False)]


def test_a_lost_connection_ends_the_session_once() -> None:
    session = session_of(DIALLER)
    assert session.lost("reset by peer") == Ended(Farewell.STOPPING, "reset by peer", is_ours=False)
    assert session.lost("again") is None
    assert session.take_output() == []
