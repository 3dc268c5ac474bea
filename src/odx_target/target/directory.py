"""What the protocol asks about this array: its one target, its portals, its sessions."""

from collections.abc import Mapping, Sequence

from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.nexus import Nexus
from odx_target.target.config import Portal as PortalAddress
from odx_target.target.iscsi.directory import Authenticator, Portal
from odx_target.target.iscsi.session import Session, SessionRegistry


class Directory:
    """One target with the same LUNs for every initiator. `portals` are set once their ports are known."""

    def __init__(self, iqn: str, logical_units: Mapping[int, LogicalUnit]) -> None:
        self._iqn = iqn
        self._logical_units = logical_units
        self._portals: list[Portal] = []
        self.sessions = SessionRegistry()

    def set_portals(self, portals: Sequence[PortalAddress]) -> None:
        """Tell where the array listens."""
        self._portals = [Portal(str(portal)) for portal in portals]

    def target_names(self, initiator_name: str) -> Sequence[str]:  # noqa: ARG002 - every initiator sees the same
        return [self._iqn]

    def portals(self, target_name: str) -> Sequence[Portal]:  # noqa: ARG002 - there is one target
        return self._portals

    def authenticator(self, initiator_name: str, target_name: str) -> Authenticator | None:  # noqa: ARG002 - none is asked for
        return None

    def nexus_of(self, session: Session) -> Nexus:
        """A new nexus for a session that has begun; it sees all logical units."""
        return Nexus(session.initiator_name, session.initiator_port_name, session.target_port_name, self._logical_units)
