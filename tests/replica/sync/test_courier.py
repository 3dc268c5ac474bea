"""Tests of the serving end of the channel for messages of the membership."""

from typing import Any

from odx_target.replica.link.frame import Frame
from odx_target.replica.link.kinds import Kind
from odx_target.replica.membership.messages import LeaseGranted, LeaseRequest, Message
from odx_target.replica.sync.courier import receive_messages
from odx_target.replica.sync.membership_messages import decode_message, encode_message
from tests.replica.sync.test_streams import Wire
from tests.sim.virtual_environment import VirtualEnvironment

REQUEST = LeaseRequest("a" * 32, 1, 1, 2.0)
ANSWER = LeaseGranted(1, 2.0)


async def answer(message: Message) -> Message:
    assert message == REQUEST
    return ANSWER


def test_answers_that_a_peer_does_not_take_are_lost() -> None:
    environment, wire = VirtualEnvironment(), Wire()
    exchange: Any = wire
    wire.inbox.append(Frame(Kind.MEMBERSHIP, 0, 0, encode_message(REQUEST)))
    environment.run(receive_messages(exchange, answer))
    assert [decode_message(frame.body) for frame in wire.sent] == [ANSWER]
    wire.space = environment.event()
    wire.inbox.append(Frame(Kind.MEMBERSHIP, 0, 0, encode_message(REQUEST)))
    environment.run(receive_messages(exchange, answer))
    assert len(wire.sent) == 1
