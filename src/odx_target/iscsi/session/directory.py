"""What the protocol asks of the edge: which targets there are, where they are reached, and who must say who it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from odx_target.iscsi.pdu.opcodes import LoginStatus
from odx_target.iscsi.pdu.text import Pairs
from odx_target.iscsi.session.sessions import SessionRegistry


@dataclass(frozen=True, slots=True)
class Portal:
    """Where a target is reached: "192.0.2.1:3260" or "[2001:db8::1]:3260", and the portal group it belongs to."""

    address: str
    portal_group_tag: int = 1


class AuthenticationFailed(Exception):
    """The initiator did not prove what it had to; the login ends with this status."""

    def __init__(self, detail: str, status: LoginStatus = LoginStatus.AUTHENTICATION_FAILURE) -> None:
        super().__init__(detail)
        self.status = status


class Authenticator(Protocol):
    """One login's authentication (RFC 7143 12.1), such as CHAP."""

    @property
    def method(self) -> str:
        """The value of AuthMethod."""
        ...

    @property
    def done(self) -> bool:
        """The initiator has proved who it is."""
        ...

    def answer(self, pairs: Pairs) -> Pairs:
        """Take the method's keys of one login request and give those of the response. Raises AuthenticationFailed.

        Called for every complete request after the method was agreed on, with no keys too, and with those that came in the
        request that agreed on it, if any.
        """
        ...


class TargetDirectory(Protocol):
    """The targets of an array as one initiator may see them."""

    @property
    def sessions(self) -> SessionRegistry: ...

    @property
    def portal(self) -> str:
        """The address of the portal that the connection came in by."""
        ...

    def target_names(self, initiator_name: str) -> Sequence[str]:
        """The targets this initiator may log in to, in the order SendTargets tells them."""
        ...

    def portals(self, target_name: str) -> Sequence[Portal]:
        """Where SendTargets says the target is."""
        ...

    def authenticator(self, initiator_name: str, target_name: str) -> Authenticator | None:
        """A fresh authentication, or None if none is asked for. `target_name` is empty where a discovery session names none."""
        ...
