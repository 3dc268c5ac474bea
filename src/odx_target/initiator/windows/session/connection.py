"""A connection that uses the sequence numbers of Windows' login, and checks the bytes of each PDU as Windows does.

If a target breaks a rule, `receive` raises Broken, because Windows drops the connection.
"""

from odx_target.initiator.errors import ProtocolViolation
from odx_target.initiator.session.connection import InitiatorConnection
from odx_target.initiator.session.exchange import CommandExchange
from odx_target.initiator.windows.rules import BREACHES, Rule
from odx_target.initiator.windows.session.login import WindowsLogin
from odx_target.initiator.windows.session.pdu_rules import judge_header
from odx_target.iscsi.pdu.framing import DIGEST_BYTES, FramingError
from odx_target.iscsi.pdu.headers import (
    HEADER_BYTES,
    LogoutRequest,
    Pdu,
    ReadyToTransfer,
    ScsiDataIn,
    ScsiResponse,
)

FIRST_TAG = 1
SENSE_LENGTH_BYTES = 2


class Broken(ProtocolViolation):
    """A PDU of the target breaks a rule; `is_reported` is True after `rule` has been noted in the journal."""

    def __init__(self, rule: Rule, detail: str) -> None:
        super().__init__(f"{rule.reason} ({detail})" if detail else rule.reason)
        self.rule, self.detail, self.is_reported = rule, detail, False


class WindowsConnection(InitiatorConnection):
    """One connection. The initiator task tag, CmdSN and ExpStatSN of its login begin at 1."""

    login_task_tag = FIRST_TAG

    def __init__(self, login: WindowsLogin) -> None:
        super().__init__(login)
        self._numbers.exp_stat_sn = 1
        self._pending.next_tag = FIRST_TAG + 1
        self._padding_is_zero = True

    @property
    def waits_for_logout(self) -> bool:
        """True if a Logout Request was sent and has no answer yet."""
        return LogoutRequest in self._pending.values()

    def receive(self, view: memoryview) -> int:
        """Process PDUs in the same way as the base class, and check the rules of Windows. Raises Broken."""
        position = 0
        try:
            while (end := self._judge(view, position)) is not None:
                super().receive(view[position:end])
                position = end
        except Broken:
            raise
        except ProtocolViolation as violation:
            raise Broken(BREACHES[violation.breach], str(violation)) from violation
        return position

    def _judge(self, view: memoryview, at: int) -> int | None:
        """Check the PDU that begins at byte `at` of `view`. Return the position of its end, or None if the PDU has not arrived
        completely. Raises Broken.
        """
        if len(view) - at < HEADER_BYTES:
            return None
        wrong = judge_header(bytes(view[at : at + HEADER_BYTES]))
        if wrong is not None:
            rule, detail = wrong
            # After a segment without padding, the next PDU is read from the wrong position.
            raise Broken(rule, detail) if self._padding_is_zero else Broken(Rule.PADDING, f"what follows reads: {detail}")
        try:
            frame = self._frames.cut(view, at)
        except FramingError:
            return len(view)  # the base class finds the same error and reports it
        if frame is None:
            return None
        end, _, data, _ = frame
        padding_end = end - (DIGEST_BYTES if self._frames.data_digest and len(data) else 0)
        padding = bytes(view[padding_end - (-len(data) & 3) : padding_end])
        self._padding_is_zero = not any(padding)
        return end

    def _take(self, pdu: Pdu, data: memoryview) -> None:
        if isinstance(pdu, ScsiResponse | ScsiDataIn):
            self._judge_end(pdu, data)
        elif isinstance(pdu, ReadyToTransfer):
            self._judge_r2t(pdu)
        super()._take(pdu, data)

    def _judge_end(self, pdu: ScsiResponse | ScsiDataIn, data: memoryview) -> None:
        if pdu.overflow and pdu.underflow:
            raise Broken(Rule.RESIDUAL, "both O and U")
        if pdu.residual_count and not (pdu.overflow or pdu.underflow):
            raise Broken(Rule.RESIDUAL, f"a residual count of {pdu.residual_count} without O or U")
        if (pdu.overflow or pdu.underflow) and not pdu.residual_count:
            raise Broken(Rule.RESIDUAL, f"{'O' if pdu.overflow else 'U'} with a residual count of 0")
        if isinstance(pdu, ScsiResponse) and len(data):
            sense_bytes = int.from_bytes(data[:SENSE_LENGTH_BYTES], "big")
            if SENSE_LENGTH_BYTES + sense_bytes != len(data):
                raise Broken(Rule.DATA_IN_RESPONSE, f"{len(data)} bytes, of which {sense_bytes} are sense data")

    def _judge_r2t(self, pdu: ReadyToTransfer) -> None:
        """Check the buffer offset of an R2T. DataSequenceInOrder is Yes, so the offset must be the end of all data sent so far
        (RFC 7143 13.19).
        """
        exchange = self._pending.get(pdu.initiator_task_tag)
        if isinstance(exchange, CommandExchange) and pdu.buffer_offset != exchange.sent_bytes:
            raise Broken(Rule.INVALID_R2T, f"byte {pdu.buffer_offset} where {exchange.sent_bytes} is due")
