"""The targets of an array, their portals, and the authentication of initiators, as the edge provides them to the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from odx_target.iscsi.pdu.opcodes import LoginStatus
from odx_target.iscsi.pdu.text import Pairs
from odx_target.iscsi.session.sessions import SessionRegistry


@dataclass(frozen=True, slots=True)
class Portal:
    """An address of a target: "192.0.2.1:3260" or "[2001:db8::1]:3260", and the portal group it belongs to."""

    address: str
    portal_group_tag: int = 1


class AuthenticationFailed(Exception):
    """The initiator failed to authenticate itself; the login ends with this status."""

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
        """True once the initiator has proved its identity."""
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
        """The targets this initiator may log in to, in the order of SendTargets."""
        ...

    def portals(self, target_name: str) -> Sequence[Portal]:
        """The portals of a target, as SendTargets lists them."""
        ...

    def authenticator(self, initiator_name: str, target_name: str) -> Authenticator | None:
        """A new authentication, or None if none is required. `target_name` is empty if a discovery session names no target."""
        ...
