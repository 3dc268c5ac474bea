"""The answer to one Login Request: the content of the response, or a refusal."""

from dataclasses import dataclass

from odx_target.iscsi.pdu.opcodes import LoginStatus
from odx_target.iscsi.session.session_registry import Session


class LoginRefused(Exception):
    """The login is refused and ends with `status`. `text` are the keys of the response."""

    def __init__(self, status: LoginStatus, detail: str, text: bytes = b"") -> None:
        super().__init__(detail)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """The content of the response to one request, without sequence numbers."""

    transit: bool
    current_stage: int
    next_stage: int
    text: bytes
    continued: bool = False
    """True if the text of this response continues in the next response."""
    session: Session | None = None
    """The session that begins with this response; None if the login is not complete."""
