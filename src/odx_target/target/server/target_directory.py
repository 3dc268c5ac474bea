"""The directory of an array for the iSCSI protocol: its targets, their portals and its sessions."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from odx_target.iscsi.login.chap import ChapAuthenticator
from odx_target.iscsi.session.directory_interface import Authenticator, Portal, Redirection
from odx_target.iscsi.session.session_registry import Session, SessionRegistry
from odx_target.scsi.nexus import Nexus
from odx_target.target.access.addresses import Addresses, plain_host
from odx_target.target.access.targets import Target
from odx_target.target.config.settings import Portal as PortalAddress


@dataclass(slots=True)
class LoginWatch:
    """A check of each login, which all connections of an array share.

    `check` is called with the names of the initiator and the target, and raises LoginRefused. The name of the target is empty
    for a discovery.
    """

    check: Callable[[str, str], None] | None = None


class TargetDirectory:
    """The targets of an array as one connection sees them.

    `arrived_at` is the local address of the connection, and `accepted_at` is the portal that accepted it. If `accepted_at` is
    None, all targets can be reached. `is_group_offline` takes the number of a target port group.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        sessions: SessionRegistry | None = None,
        arrived_at: PortalAddress | None = None,
        accepted_at: PortalAddress | None = None,
        addresses: Addresses | None = None,
        login_watch: LoginWatch | None = None,
        is_group_offline: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._targets = targets
        self._arrived_at = arrived_at
        self._accepted_at = accepted_at
        self._addresses = addresses or Addresses()
        self.login_watch = login_watch or LoginWatch()
        self._is_group_offline = is_group_offline
        self.sessions = SessionRegistry() if sessions is None else sessions

    def seen_from(self, connected: socket.socket, accepted_at: PortalAddress | None = None) -> "TargetDirectory":
        """Return the directory for one connection. The directory contains the local address at which the connection arrived.

        Raises OSError.
        """
        host, port = connected.getsockname()[:2]
        arrived_at = PortalAddress(plain_host(host), port)
        return TargetDirectory(
            self._targets,
            self.sessions,
            arrived_at,
            accepted_at,
            self._addresses,
            self.login_watch,
            self._is_group_offline,
        )

    @property
    def portal(self) -> str:
        return str(self._arrived_at)

    def target_names(self, initiator_name: str) -> Sequence[str]:
        here = (target for target in self._targets if self._accepted_at is None or self._accepted_at in target.portals)
        return [target.name for target in here if target.lun_maps.map_of(initiator_name) is not None]

    @property
    def portal_group_tag(self) -> int:
        """The tag of the portal group of the portal that accepted the connection."""
        return self._addresses.tag_of(self._accepted_at)

    def portals(self, target_name: str) -> Sequence[Portal]:
        target = self._target(target_name)
        portals = () if target is None else target.portals
        reachable = ((self._addresses.reachable(each, self._arrived_at), self._addresses.tag_of(each)) for each in portals)
        return list(dict.fromkeys(Portal(str(portal), tag) for portal, tag in reachable if portal is not None))

    def _target(self, name: str) -> Target | None:
        return next((target for target in self._targets if target.name == name), None)

    def port_group_of(self, target_name: str, portal_group_tag: int | str) -> int | None:
        """Return the number of the target port group of a port. Return None if there is no such port."""
        target = self._target(target_name)
        port = target.ports.get(portal_group_tag) if target is not None and isinstance(portal_group_tag, int) else None
        return None if port is None else port.target_port_group

    def is_offline(self, target_name: str, portal_group_tag: int) -> bool:
        group = self.port_group_of(target_name, portal_group_tag)
        return group is not None and self._is_group_offline(group)

    def redirection(self, initiator_name: str, target_name: str) -> Redirection | None:
        return self._addresses.redirection(initiator_name, target_name, self._accepted_at, self._arrived_at)

    def authenticator(self, initiator_name: str, target_name: str) -> Authenticator | None:
        if self.login_watch.check is not None:
            self.login_watch.check(initiator_name, target_name)
        target = self._target(target_name) if target_name else self._targets[0]
        authentication = None if target is None else target.authentication
        if authentication is None or not (target_name or authentication.discovery):
            return None
        return ChapAuthenticator(authentication.accounts, initiator_name, authentication.entropy)

    def nexus_of(self, session: Session) -> Nexus:
        """Make the nexus of a new session, with the LUN map of the initiator."""
        target = self._target(session.target_name)
        assert target is not None, "the login has found the target"
        assert isinstance(session.port, int), "the session has a target"
        nexus = Nexus(session.initiator_name, session.initiator_port_name, target.ports[session.port], {})
        lun_map = target.lun_maps.map_of(session.initiator_name)
        assert lun_map is not None, "the login has checked the access in the same turn"
        nexus.use(lun_map)
        return nexus
