"""Requests to other arrays about their logical units, which EXTENDED COPY reads or writes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.tokens.format import maker_of
from odx_target.copymgr.tokens.remote import RemoteWrite, UnitBlocks, Written
from odx_target.environment import Environment
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.messages import Field, Message, read_message
from odx_target.replica.paths.exchange import NO_RIGHT, UNKNOWN_REQUEST, RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.waker import Waker
from odx_target.replica.remote_tokens.limits import CHECK_INTERVAL_S
from odx_target.replica.remote_tokens.messages import (
    ABSENT_UNIT,
    MADE_FIELDS,
    MAKE_REQUEST,
    WRITE_REQUEST,
    WRITTEN_FIELDS,
    texts_of,
    token_in,
)
from odx_target.replica.remote_tokens.question import Question
from odx_target.scsi.sense import COPY_TARGET_DEVICE_NOT_REACHABLE

_ELSEWHERE = frozenset({ABSENT_UNIT, NO_RIGHT, UNKNOWN_REQUEST})
"""Codes of refusals of arrays that do not have the logical unit for the initiator, or do not say if they have it."""


class UnitQuestions:
    """Asks the arrays at the ends of `paths` one after the other, until one of them has the logical unit.

    `refusal` makes the exception for an array that cannot be reached, from a reason.
    """

    def __init__(self, paths: Iterable[Path], environment: Environment, refusal: Callable[[str], Refusal]) -> None:
        self._paths = paths
        self._environment = environment
        self._refusal = refusal

    async def make_token(self, blocks: UnitBlocks) -> bytes:
        """Return a token of another array for blocks of its logical unit.

        `until_s` is in the time of the link. Raises Refusal: that of an array that cannot be reached, or COPY TARGET DEVICE NOT
        REACHABLE.
        """
        document: dict[str, Json] = {
            "request": MAKE_REQUEST,
            "unit": blocks.identity.hex(),
            "initiator": blocks.initiator_name,
            "block_bytes": blocks.block_bytes,
            "offset_bytes": blocks.offset_bytes,
            "size_bytes": blocks.size_bytes,
        }
        found = await self._first(document, MADE_FIELDS, blocks.until_s)
        try:
            token = token_in(found.message.texts("token"))
        except PeerFault as fault:
            raise self._refusal(str(fault)) from fault
        if maker_of(token) != found.path.settings.peer_maker:
            name = found.path.settings.name
            raise self._refusal(f"the array behind the path {name} has answered with a token of another array")
        return token

    async def write(self, write: RemoteWrite) -> Written:
        """Request another array to write blocks of its logical unit by a token of this array. Raises Refusal as `make_token`
        does.
        """
        document: dict[str, Json] = {
            "request": WRITE_REQUEST,
            "token": texts_of(write.token),
            "unit": write.identity.hex(),
            "initiator": write.initiator_name,
            "block_bytes": write.block_bytes,
            "first": write.lba,
            "count": write.count_blocks,
            "offset": write.offset_blocks,
        }
        found = (await self._first(document, WRITTEN_FIELDS, write.until_s, write.is_over)).message
        is_partial = bool(found.number("is_partial"))
        return Written(found.number("blocks"), found.number("status"), is_partial, found.content("sense"))

    async def _first(
        self,
        document: Mapping[str, Json],
        fields: Sequence[Field],
        until_s: float,
        is_over: Callable[[], bool] = lambda: False,
    ) -> "_Found":
        """Return the first answer. If `is_over` returns True meanwhile, nobody waits for it any more."""
        unreachable: list[str] = []
        for path in self._paths:
            name = path.settings.name
            if path.link is None:
                unreachable.append(f"the path {name} is down")
                continue
            question = await self._ask(path.link, document, until_s, is_over)
            if question.answer is not None:
                try:
                    return _Found(path, read_message(fields, question.answer))
                except PeerFault as fault:
                    raise self._refusal(str(fault)) from fault
            denied = question.failure
            if not isinstance(denied, RequestDenied):
                unreachable.append(f"the array behind the path {name} does not answer")
            elif denied.code not in _ELSEWHERE:
                raise Refusal(
                    COPY_TARGET_DEVICE_NOT_REACHABLE, rule=f"the array behind the path {name} refuses the copy: {denied}"
                )
        if unreachable:
            raise self._refusal(", ".join(unreachable))
        raise Refusal(COPY_TARGET_DEVICE_NOT_REACHABLE, rule="no array has a logical unit with this name for the initiator")

    async def _ask(self, link: Link, document: Mapping[str, Json], until_s: float, is_over: Callable[[], bool]) -> Question:
        """Send a request in the background, and wait for its answer until `until_s`."""
        environment, question, waker = self._environment, Question(), Waker(self._environment)

        async def ask() -> None:
            await question.ask(link, document)
            waker.wake()

        environment.start_soon(ask)
        while not question.is_done and environment.monotonic() < until_s and not is_over():
            await waker.wait(min(until_s, environment.monotonic() + CHECK_INTERVAL_S))
        question.give_up()
        return question


class _Found(NamedTuple):
    """The answer of the array at the end of a path."""

    path: Path
    message: Message
