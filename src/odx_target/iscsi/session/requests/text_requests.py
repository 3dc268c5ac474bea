"""Text requests in full feature phase: SendTargets and the few keys allowed there (RFC 7143 6.4, 11.10, 11.11, Appendix C).

If a PDU of a request has the C bit, the keys of the request continue in the next PDU. An answer longer than one PDU is sent in
parts. Each part except the last has the C bit and a target transfer tag. The initiator uses this tag to ask for the next part.
One exchange is under way at a time; a request without a transfer tag begins a new exchange. Declared values apply after the end
of the exchange. An exchange that fails or begins again changes no values. A failure is answered by Reject. The connection then
continues, except in the last case of this table:

a transfer tag other than the last, a task tag other than at the start of the exchange    INVALID PDU FIELD
text that cannot be read, a key that is sent twice, another breach of 6.2                 PROTOCOL ERROR
keys in a request for the next part of an answer, a changed I bit in the exchange         PROTOCOL ERROR
F and C bit together, so that the PDU contradicts itself (7.7)                            PROTOCOL ERROR, connection ends
"""

from dataclasses import replace

from odx_target.environment import Buffer
from odx_target.iscsi.names import prepare_name
from odx_target.iscsi.negotiation.answerer import Answerer
from odx_target.iscsi.negotiation.key_checks import Phase
from odx_target.iscsi.negotiation.keys import REJECT
from odx_target.iscsi.negotiation.rules import NegotiationError
from odx_target.iscsi.pdu.opcodes import NO_TAG, RejectReason
from odx_target.iscsi.pdu.requests import TextRequest
from odx_target.iscsi.pdu.responses import TextResponse
from odx_target.iscsi.pdu.text import Pairs, TextAssembly, TextError, encode_pairs
from odx_target.iscsi.session.directory_interface import TargetDirectory
from odx_target.iscsi.session.events import PduRefused
from odx_target.iscsi.session.session_registry import Session
from odx_target.iscsi.session.writer import PduWriter

SEND_TARGETS = "SendTargets"
ALL_TARGETS = "All"


class TextExchange:
    """Answers the text requests of one session."""

    def __init__(self, writer: PduWriter, session: Session, directory: TargetDirectory) -> None:
        self._writer = writer
        self._session = session
        self._directory = directory
        self._reset()

    def _reset(self) -> None:
        self._answerer = Answerer({}, replace(self._session.parameters))
        self._request_text = TextAssembly()
        self._unsent = b""
        self._transfer_tag = NO_TAG
        self._first: TextRequest | None = None

    def receive(self, request: TextRequest, data: Buffer) -> None:
        """Answer a request. Raises PduRefused."""
        if request.final and request.continued:
            raise PduRefused(RejectReason.PROTOCOL_ERROR, "Text Request with both F and C set", fatal=True)
        if request.target_transfer_tag == NO_TAG:
            self._reset()
            self._first = request
        else:
            self._check_goes_on(request)
        try:
            self._take(request, data)
        except (TextError, NegotiationError) as error:
            self._reset()
            raise PduRefused(RejectReason.PROTOCOL_ERROR, str(error)) from error

    def _check_goes_on(self, request: TextRequest) -> None:
        """Check that a request continues the exchange that is under way (11.10.3, 11.10.4)."""
        first = self._first
        if first is None or request.target_transfer_tag != self._transfer_tag:
            raise PduRefused(RejectReason.INVALID_PDU_FIELD, "Text Request names no exchange that is under way")
        if request.initiator_task_tag != first.initiator_task_tag:
            raise PduRefused(RejectReason.INVALID_PDU_FIELD, "Text Request with another task tag than the exchange began with")
        if request.immediate != first.immediate:
            self._reset()
            raise PduRefused(RejectReason.PROTOCOL_ERROR, "Text Request with another I bit than the exchange began with")

    def _take(self, request: TextRequest, data: Buffer) -> None:
        if self._unsent:
            if len(data) or request.continued:
                raise NegotiationError("keys in a request for the next part of an answer")
            self._send_part(request)
            return
        self._request_text.add(data)
        if request.continued:
            self._transfer_tag = self._writer.new_transfer_tag()
            self._respond(request, b"", final=False, continued=False)
            return
        requests = {SEND_TARGETS: self._send_targets}
        answers = self._answerer.answer(self._request_text.take(), Phase.FULL_FEATURE, requests)
        self._unsent = encode_pairs(answers)
        self._send_part(request)

    def _send_part(self, request: TextRequest) -> None:
        limit = self._session.parameters.max_send_data_segment_length
        part, self._unsent = self._unsent[:limit], self._unsent[limit:]
        # The exchange may only end after the initiator has set the F bit, which means that it has no more keys to send.
        ends = not self._unsent and request.final
        self._transfer_tag = NO_TAG if ends else self._writer.new_transfer_tag()
        self._respond(request, part, final=ends, continued=bool(self._unsent))
        if ends:
            self._session.parameters.adopt(self._answerer.parameters)
            self._reset()

    def _respond(self, request: TextRequest, text: bytes, *, final: bool, continued: bool) -> None:
        response = TextResponse(
            final=final,
            continued=continued,
            lun=request.lun,
            initiator_task_tag=request.initiator_task_tag,
            target_transfer_tag=self._transfer_tag,
        )
        self._writer.send(response, [text] if text else [])

    def _send_targets(self, wanted: str) -> Pairs:
        """Answer SendTargets (Appendix C). The value All is allowed only in discovery sessions. In a session with a target, the
        value may be empty.
        """
        session = self._session
        if session.is_discovery:
            names = list(self._directory.target_names(session.initiator_name))
            allowed = wanted != "" or session.target_name != ""
        else:
            names = [session.target_name]
            allowed = wanted == "" or bool(_as_names(wanted, names))
        if not allowed:
            return [(SEND_TARGETS, REJECT)]
        if wanted != ALL_TARGETS or not session.is_discovery:
            names = _as_names(wanted or session.target_name, names)
        pairs: Pairs = []
        for name in names:
            pairs.append(("TargetName", name))
            for portal in self._directory.portals(name):
                pairs.append(("TargetAddress", f"{portal.address},{portal.portal_group_tag}"))
        return pairs


def _as_names(wanted: str, names: list[str]) -> list[str]:
    """Return the names that equal the wanted name by the rules for iSCSI names."""
    prepared = prepare_name(wanted)
    return [name for name in names if prepare_name(name) == prepared]
