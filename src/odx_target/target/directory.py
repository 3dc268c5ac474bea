"""What the protocol asks about this array: its one target, its portals, its sessions."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.nexus import Nexus
from odx_target.target.config import Portal as PortalAddress
from odx_target.target.iscsi.chap import Accounts, ChapAuthenticator, Entropy
from odx_target.target.iscsi.directory import Authenticator, Portal
from odx_target.target.iscsi.session import Session, SessionRegistry

# Where a portal listens at all addresses of a machine; no initiator can connect to these.
ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class Authentication:
    """CHAP, for normal sessions and, if `discovery`, for those too; `entropy` makes challenges."""

    accounts: Accounts
    discovery: bool
    entropy: Entropy


class Directory:
    """One target with the same LUNs for every initiator. `portals` are set once their ports are known.

    `authentication` is whom initiators must prove to be, None: no one.
    """

    def __init__(
        self,
        iqn: str,
        logical_units: Mapping[int, LogicalUnit],
        sessions: SessionRegistry | None = None,
        authentication: Authentication | None = None,
        local_host: str | None = None,
    ) -> None:
        self._iqn = iqn
        self._logical_units = logical_units
        self._portals: list[PortalAddress] = []
        self._authentication = authentication
        self._local_host = local_host
        self.sessions = SessionRegistry() if sessions is None else sessions

    def set_portals(self, portals: Sequence[PortalAddress]) -> None:
        """Tell where the array listens."""
        self._portals = list(portals)

    def seen_from(self, connected: socket.socket) -> "Directory":
        """The same for one connection, which knows at which address of this machine it has arrived. Raises OSError."""
        local_host = connected.getsockname()[0]
        seen = Directory(self._iqn, self._logical_units, self.sessions, self._authentication, local_host)
        seen.set_portals(self._portals)
        return seen

    def target_names(self, initiator_name: str) -> Sequence[str]:  # noqa: ARG002 - every initiator sees the same
        return [self._iqn]

    def portals(self, target_name: str) -> Sequence[Portal]:  # noqa: ARG002 - there is one target
        return [Portal(str(self._reachable(portal))) for portal in self._portals]

    def _reachable(self, portal: PortalAddress) -> PortalAddress:
        if portal.host in ANY_ADDRESS and self._local_host is not None:
            return replace(portal, host=self._local_host)
        return portal

    def authenticator(self, initiator_name: str, target_name: str) -> Authenticator | None:
        authentication = self._authentication
        if authentication is None or not (target_name or authentication.discovery):
            return None
        return ChapAuthenticator(authentication.accounts, initiator_name, authentication.entropy)

    def nexus_of(self, session: Session) -> Nexus:
        """A new nexus for a session that has begun; it sees all logical units."""
        return Nexus(session.initiator_name, session.initiator_port_name, session.target_port_name, self._logical_units)
