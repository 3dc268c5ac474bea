"""Interfaces to the targets of an array, their portals, and the authentication of initiators. The connection server implements
these interfaces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from odx_target.iscsi.pdu.opcodes import LoginStatus
from odx_target.iscsi.pdu.text import Pairs
from odx_target.iscsi.session.session_registry import SessionRegistry


@dataclass(frozen=True, slots=True)
class Portal:
    """An address of a target, such as "192.0.2.1:3260" or "[2001:db8::1]:3260", and the tag of its portal group."""

    address: str
    portal_group_tag: int = 1


@dataclass(frozen=True, slots=True)
class Redirection:
    """An address at which an initiator must log in instead. If `permanent` is True, the initiator may remember it."""

    address: str
    permanent: bool = False


class AuthenticationFailed(Exception):
    """The initiator failed to authenticate. The login ends with `status`."""

    def __init__(self, detail: str, status: LoginStatus = LoginStatus.AUTHENTICATION_FAILURE) -> None:
        super().__init__(detail)
        self.status = status


class Authenticator(Protocol):
    """The authentication of one login by one method (RFC 7143 12.1), such as CHAP."""

    @property
    def method(self) -> str:
        """Name of the method, as a value of AuthMethod."""
        ...

    @property
    def done(self) -> bool:
        """True once the initiator has proved its identity."""
        ...

    def answer(self, pairs: Pairs) -> Pairs:
        """Return the keys to send in the response to a login request. Raises AuthenticationFailed.

        `pairs` are the keys of this authentication method in the request. In one request, both sides agree on the
        authentication method. For this request, `answer` is called only if `pairs` is not empty. For every later complete
        request, `answer` is called even if `pairs` is empty.
        """
        ...


class TargetDirectory(Protocol):
    """The targets of an array that initiators may see."""

    @property
    def sessions(self) -> SessionRegistry: ...

    @property
    def portal(self) -> str:
        """Address of the portal through which the connection came in."""
        ...

    def target_names(self, initiator_name: str) -> Sequence[str]:
        """Names of the targets that this initiator may log in to, in the order of SendTargets."""
        ...

    def portals(self, target_name: str) -> Sequence[Portal]:
        """The portals of a target, in the order of SendTargets."""
        ...

    def is_offline(self, target_name: str, portal_group_tag: int) -> bool:
        """True if the portal group of a target accepts no logins."""
        ...

    def redirection(self, initiator_name: str, target_name: str) -> Redirection | None:
        """Return the redirection of a login to a target. Return None if the login may continue here."""
        ...

    def authenticator(self, initiator_name: str, target_name: str) -> Authenticator | None:
        """Return the authenticator for a new login; None if no authentication is required. `target_name` is empty if a
        discovery session names no target.
        """
        ...
