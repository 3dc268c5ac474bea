"""The directory of an array for the iSCSI protocol: the only target of the array, its portals and its sessions."""

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from odx_target.iscsi.login.chap import Accounts, ChapAuthenticator, Entropy
from odx_target.iscsi.session.directory import Authenticator, Portal
from odx_target.iscsi.session.sessions import Session, SessionRegistry
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.target_port import iscsi_port
from odx_target.target.config.settings import Portal as PortalAddress

# Addresses with which a portal listens at all addresses of a machine. No initiator can connect to these addresses.
ANY_IPV4 = "0.0.0.0"  # noqa: S104 - only compared, not bound
ANY_ADDRESS = frozenset({ANY_IPV4, "::"})


@dataclass(frozen=True, slots=True)
class Authentication:
    """CHAP accounts for normal sessions, and for discovery sessions if `discovery` is True.

    `entropy` returns random bytes for challenges.
    """

    accounts: Accounts
    discovery: bool
    entropy: Entropy


class TargetDirectory:
    """One target with the same LUNs for every initiator. `set_portals` must be called when the ports of the portals are known.

    `authentication` has the CHAP accounts. If `authentication` is None, every initiator may log in.
    """

    def __init__(
        self,
        iqn: str,
        logical_units: Mapping[int, LogicalUnit],
        sessions: SessionRegistry | None = None,
        authentication: Authentication | None = None,
        arrived_at: PortalAddress | None = None,
    ) -> None:
        self._iqn = iqn
        self._logical_units = logical_units
        self._portals: list[PortalAddress] = []
        self._authentication = authentication
        self._arrived_at = arrived_at
        self.sessions = SessionRegistry() if sessions is None else sessions

    def set_portals(self, portals: Sequence[PortalAddress]) -> None:
        """Set the portals at which the array listens."""
        self._portals = list(portals)

    def seen_from(self, connected: socket.socket) -> "TargetDirectory":
        """Return the directory for one connection. The directory contains the local address at which the connection arrived.

        Raises OSError.
        """
        host, port = connected.getsockname()[:2]
        arrived_at = PortalAddress(plain_host(host), port)
        seen = TargetDirectory(self._iqn, self._logical_units, self.sessions, self._authentication, arrived_at)
        seen.set_portals(self._portals)
        return seen

    @property
    def portal(self) -> str:
        return str(self._arrived_at)

    def target_names(self, initiator_name: str) -> Sequence[str]:  # noqa: ARG002 - the same for every initiator
        return [self._iqn]

    def portals(self, target_name: str) -> Sequence[Portal]:  # noqa: ARG002 - there is one target
        reachable = (self._reachable(portal) for portal in self._portals)
        return [Portal(each) for each in dict.fromkeys(str(portal) for portal in reachable if portal is not None)]

    def _reachable(self, portal: PortalAddress) -> PortalAddress | None:
        """Return the portal with an address to which the host can connect. Return None if no such address is known."""
        if portal.host not in ANY_ADDRESS:
            return replace(portal, host=plain_host(portal.host))
        if self._arrived_at is None:
            return portal
        # A portal at "::" also accepts IPv4 connections; a portal at "0.0.0.0" accepts only IPv4.
        if portal.host == ANY_IPV4 and ":" in self._arrived_at.host:
            return None
        return replace(portal, host=self._arrived_at.host)

    def authenticator(self, initiator_name: str, target_name: str) -> Authenticator | None:
        authentication = self._authentication
        if authentication is None or not (target_name or authentication.discovery):
            return None
        return ChapAuthenticator(authentication.accounts, initiator_name, authentication.entropy)

    def nexus_of(self, session: Session) -> Nexus:
        """Make the nexus of a new session. The nexus has access to all logical units."""
        assert isinstance(session.port, int)
        port = iscsi_port(session.target_name, session.port)
        return Nexus(session.initiator_name, session.initiator_port_name, port, self._logical_units)


def plain_host(host: str) -> str:
    """Return an address that other machines can use.

    The returned address has no IPv6 zone, and is not an IPv4 address mapped to IPv6.
    """
    host = host.partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host  # it is a name, not an address
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
