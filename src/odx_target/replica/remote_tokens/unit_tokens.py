"""Tokens for blocks of logical units of other arrays, which EXTENDED COPY reads."""

from collections.abc import Callable, Iterable, Mapping

from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.tokens.format import maker_of
from odx_target.copymgr.tokens.remote import UnitBlocks
from odx_target.environment import Environment
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.messages import read_message
from odx_target.replica.paths.exchange import NO_RIGHT, UNKNOWN_REQUEST, RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.waker import Waker
from odx_target.replica.remote_tokens.messages import ABSENT_UNIT, MADE_FIELDS, MAKE_REQUEST, token_in
from odx_target.replica.remote_tokens.question import Question
from odx_target.scsi.sense import COPY_TARGET_DEVICE_NOT_REACHABLE

_ELSEWHERE = frozenset({ABSENT_UNIT, NO_RIGHT, UNKNOWN_REQUEST})
"""Codes of refusals of arrays that do not have the logical unit for the initiator, or do not say if they have it."""


async def make_unit_token(
    blocks: UnitBlocks, paths: Iterable[Path], environment: Environment, refusal: Callable[[str], Refusal]
) -> bytes:
    """Ask the arrays at the ends of `paths` for a token, one after the other, until one of them has the logical unit.

    `until_s` is in the time of the link. Raises Refusal: the one that `refusal` makes from a reason if an array cannot be
    reached, and otherwise COPY TARGET DEVICE NOT REACHABLE.
    """
    document: dict[str, Json] = {
        "request": MAKE_REQUEST,
        "unit": blocks.identity.hex(),
        "initiator": blocks.initiator_name,
        "block_bytes": blocks.block_bytes,
        "offset_bytes": blocks.offset_bytes,
        "size_bytes": blocks.size_bytes,
    }
    unreachable: list[str] = []
    for path in paths:
        name = path.settings.name
        if path.link is None:
            unreachable.append(f"the path {name} is down")
            continue
        question = Question()
        await _answered(question, path.link, document, environment, blocks.until_s)
        if question.answer is not None:
            try:
                token = token_in(read_message(MADE_FIELDS, question.answer).texts("token"))
            except PeerFault as fault:
                raise refusal(str(fault)) from fault
            if maker_of(token) != path.settings.peer_maker:
                raise refusal(f"the array behind the path {name} has answered with a token of another array")
            return token
        denied = question.failure
        if not isinstance(denied, RequestDenied):
            unreachable.append(f"the array behind the path {name} does not answer")
        elif denied.code not in _ELSEWHERE:
            raise Refusal(COPY_TARGET_DEVICE_NOT_REACHABLE, rule=f"the array behind the path {name} refuses the copy: {denied}")
    if unreachable:
        raise refusal(", ".join(unreachable))
    raise Refusal(COPY_TARGET_DEVICE_NOT_REACHABLE, rule="no array has a logical unit with this name for the initiator")


async def _answered(
    question: Question, link: Link, document: Mapping[str, Json], environment: Environment, until_s: float
) -> None:
    """Send a request in the background, and wait for its answer until `until_s`."""
    waker = Waker(environment)
    environment.start_soon(_send, question, link, document, waker)
    while not question.is_done and environment.monotonic() < until_s:
        await waker.wait(until_s)


async def _send(question: Question, link: Link, document: Mapping[str, Json], waker: Waker) -> None:
    await question.ask(link, document)
    waker.wake()
