"""A request to another array that a background job makes, while a command waits for its answer as long as its time allows."""

from collections.abc import Mapping

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, LinkError
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.link import Link
from odx_target.replica.remote_tokens.limits import ANSWER_WAIT_S


class Question:
    """The answer of the other array, or the failure of the request. Neither is there before the job has ended."""

    def __init__(self) -> None:
        self.answer: Mapping[str, Json] | None = None
        self.failure: LinkError | None = None
        self._exchange: Exchange | None = None

    async def ask(self, link: Link, document: Mapping[str, Json]) -> None:
        """Send the request, and note the answer or the failure."""
        if self.is_done:
            return
        try:
            exchange = self._exchange = link.begin(document, TrafficClass.TOKEN, ANSWER_WAIT_S)
        except LinkError as error:
            self.failure = error
            return
        try:
            self.answer = await exchange.answered()
        except LinkError as error:
            self.failure = error
        finally:
            exchange.close(drop_waiting=self.answer is None)

    def give_up(self) -> None:
        """Close the channel of the request, because nobody waits for the answer any more. The other array may end its work.

        A request that was not sent yet is not sent.
        """
        if self.is_done:
            return
        if self._exchange is None:
            self.failure = ChannelEnded("nobody waits for the answer any more")
        else:
            self._exchange.abandon()

    @property
    def is_done(self) -> bool:
        return self.answer is not None or self.failure is not None
