"""Tests that a hostile peer is ended with one line, that nothing else is raised, and that memory stays bounded."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link.events import Ended, Opened, Received, Requested
from odx_target.replica.link.frame import Frame, encode
from odx_target.replica.link.hello import Farewell, Side, encode_hello
from odx_target.replica.link.kinds import BY_NUMBER, Kind, Scope
from odx_target.replica.link.limits import INITIAL_CREDIT_BYTES, MAX_BODY_BYTES, MAX_CREDIT_BYTES, MAX_OPENED_CHANNELS
from odx_target.replica.link.session import Session, State
from tests.replica.link.pairs import hello_of, session_of
from tests.settings import searching

HELLO = encode(Frame(Kind.HELLO, body=encode_hello(hello_of(Side.DIALLER))))
REQUEST = Frame(Kind.REQUEST, 2, 2, b"{}")


def opened() -> Session:
    session = session_of(Side.ACCEPTOR)
    (event,) = session.receive(HELLO, 0.0)
    assert isinstance(event, Opened)
    return session


def answered() -> Session:
    session = opened()
    (event,) = session.receive(encode(REQUEST), 0.0)
    assert isinstance(event, Requested)
    session.answer(2, {})
    return session


def assert_ended(session: Session, data: bytes, message: str) -> None:
    (event,) = [event for event in session.receive(data, 0.0) if isinstance(event, Ended)]
    assert (event.code, event.is_ours) == (Farewell.FAULT, True)
    assert message in event.text
    assert "\n" not in event.text
    assert session.state is State.ENDED
    assert session.receive(HELLO, 0.0) == []
    goodbye = b"".join(bytes(each) for each in session.take_output())
    assert event.text.encode() in goodbye or len(event.text.encode()) > 255


def hello(**changes: object) -> bytes:
    return encode(Frame(Kind.HELLO, body=json.dumps({**json.loads(encode_hello(hello_of(Side.DIALLER))), **changes}).encode()))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode(Frame(Kind.PING)), "the first frame is PING, not HELLO"),
        (encode(Frame(Kind.REQUEST, 2, 2, b"{}")), "the first frame is REQUEST"),
        (encode(Frame(Kind.DATA, 2, 0, bytes(5000))), "the body of DATA has 5000 bytes, more than 4096"),
        (b"GET / HTTP/1.1\r\nHost: example\r\n\r\n", "the header of a frame does not match its checksum"),
        (hello(protocol=[1]), "the field protocol"),
        (hello(protocol=[2, 1]), "the field protocol"),
        (hello(protocol=[0, 1]), "the field protocol"),
        (hello(protocol=[1, 1 << 20]), "the field protocol"),
        (hello(role="other"), "the role 'other'"),
        (hello(pool="00"), "the field pool"),
        (hello(life=""), "the field life"),
        (hello(features=["a"] * 65), "the field features"),
        (hello(features=["\x1b[31m"]), "the field features"),
    ],
)
def test_greetings_that_are_refused(data: bytes, message: str) -> None:
    assert_ended(session_of(Side.ACCEPTOR), data, message)


CREDIT_OVERFLOW = MAX_CREDIT_BYTES - INITIAL_CREDIT_BYTES + 1


@pytest.mark.parametrize(
    ("begin", "frames", "message"),
    [
        (opened, [Frame(Kind.HELLO, body=encode_hello(hello_of(Side.DIALLER)))], "a second HELLO"),
        (opened, [Frame(Kind.GOODBYE, body=b"{}")], "no field code"),
        (opened, [Frame(Kind.REQUEST, 1, 2, b"{}")], "which the peer cannot open"),
        (opened, [REQUEST, REQUEST], "which the peer cannot open"),
        (opened, [Frame(Kind.REQUEST, 2, 0, b"{}")], "the class of channel 2 is 0"),
        (opened, [Frame(Kind.REQUEST, 2, 9, b"{}")], "the class of channel 2 is 9"),
        (opened, [Frame(Kind.REQUEST, 2, 2, b"[" * 60000)], "not valid JSON"),
        (opened, [Frame(Kind.REQUEST, 2 * n, 2, b"{}") for n in range(1, MAX_OPENED_CHANNELS + 2)], "more than 32 channels"),
        (opened, [Frame(Kind.DATA, 2)], "which is not open"),
        (opened, [Frame(Kind.CLOSE, 4)], "which is not open"),
        (opened, [REQUEST, Frame(Kind.DATA, 2)], "has no answer yet"),
        (opened, [REQUEST, Frame(Kind.ANSWER, 2, 0, b"{}")], "which has no open request"),
        (opened, [REQUEST, Frame(Kind.CLOSE, 2), Frame(Kind.CREDIT, 2, 1)], "which is not open"),
        (answered, [Frame(Kind.CREDIT, 2, CREDIT_OVERFLOW)], "exceeds 16777216 bytes"),
        (answered, [Frame(Kind.CREDIT, 2, 0)], "a credit of 0 bytes"),
        (answered, [Frame(Kind.CREDIT, 2, (1 << 64) - 1)], "exceeds 16777216 bytes"),
        (answered, [Frame(Kind.DATA, 2, 0, bytes(MAX_BODY_BYTES))] * 3, "exceeds the credit"),
        (answered, [Frame(Kind.REFUSAL, 2, 0, b"{}")], "which has no open request"),
    ],
)
def test_violations_that_end_the_session(begin: Callable[[], Session], frames: list[Frame], message: str) -> None:
    assert_ended(begin(), b"".join(map(encode, frames)), message)


def test_credit_up_to_the_limit_is_accepted() -> None:
    session = answered()
    assert session.receive(encode(Frame(Kind.CREDIT, 2, CREDIT_OVERFLOW - 1)), 0.0) == []
    assert session.state is State.OPEN


def test_a_peer_that_reads_nothing_cannot_make_answers_pile_up() -> None:
    session = opened()
    content = b"".join(
        encode(frame)
        for n in range(1, 200)
        for frame in (Frame(Kind.PING, argument=n), Frame(Kind.REQUEST, 2 * n, 2, b"{}"), Frame(Kind.CLOSE, 2 * n))
    )
    assert_ended(session, content, "more than 32 channels")


frames = st.sampled_from(sorted(BY_NUMBER)).flatmap(
    lambda number: st.builds(
        Frame,
        st.just(Kind(number)),
        st.just(0) if BY_NUMBER[number].scope is Scope.CONNECTION else st.integers(1, 6),
        st.integers(0, 4) | st.integers(0, (1 << 64) - 1),
        st.just(b"")
        if not BY_NUMBER[number].max_body_bytes
        else st.sampled_from([b"", b"{}", b'{"code":"a"}', b"[]", encode_hello(hello_of(Side.DIALLER))])
        | st.binary(max_size=50),
    )
)


@searching(25)
@given(st.lists(frames, max_size=20), st.booleans())
def test_any_frames_end_in_events_and_one_line(sent: list[Frame], is_answered: bool) -> None:
    session = answered() if is_answered else opened()
    received_bytes = 0
    for frame in sent:
        for event in session.receive(encode(frame), 0.0):
            if isinstance(event, Received):
                received_bytes += event.frame.size_bytes
            if isinstance(event, Ended):
                assert "\n" not in event.text
                assert session.state is State.ENDED
    assert received_bytes <= INITIAL_CREDIT_BYTES


@searching(25)
@given(st.binary(max_size=100), st.integers(0, 3))
def test_any_bytes_end_in_events_and_one_line(data: bytes, begin: int) -> None:
    session = [lambda: session_of(Side.ACCEPTOR), lambda: session_of(Side.DIALLER), opened, answered][begin]()
    for event in session.receive(data, 0.0):
        assert isinstance(event, Ended)
        assert "\n" not in event.text
