"""The output of a connection: requests with their sequence numbers and digests, as bytes in the order of sending."""

from typing import TypeAlias

from odx_target.environment import Buffer
from odx_target.initiator.session.sequence_numbers import SequenceNumbers
from odx_target.iscsi.pdu.framing import append_pdu
from odx_target.iscsi.pdu.requests import (
    LoginRequest,
    LogoutRequest,
    NopOut,
    ScsiCommand,
    ScsiDataOut,
    TaskManagementFunctionRequest,
    TextRequest,
)

Request: TypeAlias = ScsiCommand | ScsiDataOut | TaskManagementFunctionRequest | TextRequest | NopOut | LogoutRequest


class RequestSender:
    """Encodes requests, and adds the digests that the login agreed on."""

    def __init__(self, numbers: SequenceNumbers) -> None:
        self.numbers = numbers
        self.header_digest = self.data_digest = False
        self.output: list[Buffer] = []

    def take_output(self) -> list[Buffer]:
        """Return the bytes to send, in order."""
        output, self.output = self.output, []
        return output

    def send_login(self, request: LoginRequest, data: bytes) -> None:
        """Send a Login Request, which never has digests."""
        request.cmd_sn, request.exp_stat_sn = self.numbers.cmd_sn, self.numbers.exp_stat_sn
        append_pdu(self.output, request.encode_header(), [data] if data else ())

    def send(self, pdu: Request, data: Buffer = b"") -> None:
        """Send a request of the full feature phase."""
        pdu.exp_stat_sn = self.numbers.exp_stat_sn
        if not isinstance(pdu, ScsiDataOut | ScsiCommand):
            pdu.cmd_sn = self.numbers.cmd_sn
        append_pdu(
            self.output,
            pdu.encode_header(),
            [data] if len(data) else (),
            header_digest=self.header_digest,
            data_digest=self.data_digest,
        )
