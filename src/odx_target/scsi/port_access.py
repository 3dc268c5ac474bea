"""The interface to the target ports of an array, as PERSISTENT RESERVE OUT uses it to name nexuses, and INQUIRY to count
ports.
"""

from collections.abc import Container, Iterable
from typing import Protocol

from odx_target.scsi.unit.logical_unit import LogicalUnit


class PortAccess(Protocol):
    """The relative target ports of an array, and the initiators that may use logical units through them. An initiator is given
    by the name of an initiator port.
    """

    def relative_target_ports(self) -> Container[int]:
        """Return all relative target ports."""

    def ports_of(self, initiator_port_name: str, logical_unit: LogicalUnit) -> Iterable[int]:
        """Return the relative target ports through which an initiator may use a logical unit when it logs in."""

    def has_several_ports(self, device_name: str) -> bool:
        """True if the target device with this name has more than one target port."""

    def may_use(self, initiator_port_name: str, relative_target_port: int, logical_unit: LogicalUnit) -> bool:
        """True if an initiator may use a logical unit when it logs in through a port."""
