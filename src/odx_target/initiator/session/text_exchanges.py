"""Text exchanges of one connection in full feature phase (RFC 7143 6.4, 11.10, 11.11). One exchange runs at a time."""

from collections import deque
from collections.abc import Callable

from odx_target.environment import Buffer
from odx_target.initiator.errors import ProtocolViolation
from odx_target.iscsi.pdu.headers import TextRequest, TextResponse
from odx_target.iscsi.pdu.opcodes import NO_TAG
from odx_target.iscsi.pdu.text import Pairs, TextAssembly, encode_pairs

MAX_TEXT_BYTES = 16 << 20
"""Maximum length of an answer. This length is enough for SendTargets with about 10,000 targets and several addresses of each
target."""


class TextExchanges:
    """The text exchanges of one connection. An exchange waits until the exchange before it has ended.

    `send` sends a request. If an answer has several PDUs, each further PDU is requested by an empty Text Request, and the parts
    are joined.
    """

    def __init__(self, send: Callable[[TextRequest, Buffer], None]) -> None:
        self._send = send
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._tag: int | None = None
        self._assembly = TextAssembly(MAX_TEXT_BYTES)

    @property
    def are_under_way(self) -> bool:
        return self._tag is not None

    def begin(self, tag: int, pairs: Pairs) -> None:
        """Send the pairs. If another exchange is under way, send them after its end."""
        self._waiting.append((tag, encode_pairs(pairs)))
        self._send_next()

    def take(self, response: TextResponse, data: Buffer) -> Pairs | None:
        """Return the pairs of a complete answer. If the answer is not complete, request the next part and return None.

        Raises ProtocolViolation, TextError.
        """
        if response.initiator_task_tag != self._tag:
            raise ProtocolViolation("the target answers a Text Request that was not sent yet")
        goes_on = response.target_transfer_tag != NO_TAG
        if (response.final and response.continued) or not (response.final or goes_on):
            raise ProtocolViolation("a Text Response neither ends its exchange nor lets it go on")
        self._assembly.add(data)
        if response.final:
            return self._assembly.take()
        request = TextRequest(
            immediate=True,
            initiator_task_tag=self._tag,
            target_transfer_tag=response.target_transfer_tag,
            lun=response.lun,
        )
        self._send(request, b"")
        return None

    def end(self, tag: int) -> None:
        """End the exchange with this tag after success or failure, and begin the next exchange. If the tag does not belong to
        the exchange under way, do nothing.
        """
        if tag == self._tag:
            self._tag, self._assembly = None, TextAssembly(MAX_TEXT_BYTES)
            self._send_next()

    def _send_next(self) -> None:
        if self._tag is None and self._waiting:
            self._tag, data = self._waiting.popleft()
            request = TextRequest(immediate=True, initiator_task_tag=self._tag, data_segment_length=len(data))
            self._send(request, data)
