"""Text requests in full feature phase (RFC 7143 11.10, 11.11, Appendix C): SendTargets and the few keys allowed there.

A request's keys may come in several PDUs (C bit). An answer longer than one PDU is sent in parts, each but the last with the
C bit and a target transfer tag by which the initiator asks for the next. One exchange is under way at a time; a request
without a transfer tag begins a new one.
"""

from odx_target.target.iscsi.directory import TargetDirectory
from odx_target.target.iscsi.events import PduRefused
from odx_target.target.iscsi.header import Buffer
from odx_target.target.iscsi.negotiation import Answerer, NegotiationError
from odx_target.target.iscsi.opcodes import NO_TAG, RejectReason
from odx_target.target.iscsi.request_pdus import TextRequest
from odx_target.target.iscsi.response_pdus import TextResponse
from odx_target.target.iscsi.session import Session
from odx_target.target.iscsi.text_format import Pairs, TextAssembly, TextError, encode_pairs
from odx_target.target.iscsi.text_keys import REJECT
from odx_target.target.iscsi.writer import PduWriter

SEND_TARGETS = "SendTargets"
ALL_TARGETS = "All"


class TextExchange:
    """Answers the text requests of one session."""

    def __init__(self, writer: PduWriter, session: Session, directory: TargetDirectory) -> None:
        self._writer = writer
        self._session = session
        self._directory = directory
        self._answerer = Answerer({}, session.parameters)
        self._request_text = TextAssembly()
        self._unsent = b""
        self._transfer_tag = NO_TAG

    def receive(self, request: TextRequest, data: Buffer) -> None:
        """Answer a request. Raises PduRefused."""
        if request.target_transfer_tag == NO_TAG:
            self._reset()
        elif request.target_transfer_tag != self._transfer_tag:
            raise PduRefused(RejectReason.INVALID_PDU_FIELD, "Text Request names no exchange that is under way")
        if self._unsent:
            self._send_part(request)
            return
        try:
            self._request_text.add(data)
            if request.continued:
                self._ask_for_more(request)
                return
            self._unsent = encode_pairs(self._answer(self._request_text.take()))
        except (TextError, NegotiationError) as error:
            self._reset()
            raise PduRefused(RejectReason.PROTOCOL_ERROR, str(error), fatal=True) from error
        self._send_part(request)

    def _reset(self) -> None:
        self._request_text = TextAssembly()
        self._unsent = b""
        self._transfer_tag = NO_TAG

    def _ask_for_more(self, request: TextRequest) -> None:
        self._transfer_tag = self._writer.new_transfer_tag()
        self._respond(request, b"", final=False, continued=False)

    def _send_part(self, request: TextRequest) -> None:
        limit = self._session.parameters.max_send_data_segment_length
        part, self._unsent = self._unsent[:limit], self._unsent[limit:]
        # The exchange may only end where the initiator has said that it has no more to say.
        ends = not self._unsent and request.final
        self._transfer_tag = NO_TAG if ends else self._writer.new_transfer_tag()
        self._respond(request, part, final=ends, continued=bool(self._unsent))

    def _respond(self, request: TextRequest, text: bytes, *, final: bool, continued: bool) -> None:
        response = TextResponse(
            final=final,
            continued=continued,
            lun=request.lun,
            initiator_task_tag=request.initiator_task_tag,
            target_transfer_tag=self._transfer_tag,
        )
        self._writer.send(response, [text] if text else [])

    def _answer(self, offers: Pairs) -> Pairs:
        answers: Pairs = []
        others = [pair for pair in offers if pair[0] != SEND_TARGETS]
        for name, value in offers:
            if name == SEND_TARGETS:
                answers += self._send_targets(value)
        if self._session.is_discovery:
            return answers + [(name, REJECT) for name, _ in others]
        return answers + self._answerer.answer(others, full_feature_phase=True)

    def _send_targets(self, wanted: str) -> Pairs:
        """All only in discovery sessions, nothing (this target) only in others (Appendix C)."""
        session = self._session
        if session.is_discovery:
            names = self._directory.target_names(session.initiator_name)
            if wanted != ALL_TARGETS:
                names = [name for name in names if name == wanted]
            rejected = not wanted
        else:
            names = [session.target_name]
            rejected = wanted not in ("", session.target_name)
        if rejected:
            return [(SEND_TARGETS, REJECT)]
        pairs: Pairs = []
        for name in names:
            pairs.append(("TargetName", name))
            for portal in self._directory.portals(name):
                pairs.append(("TargetAddress", f"{portal.address},{portal.portal_group_tag}"))
        return pairs
