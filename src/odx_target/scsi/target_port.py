"""The target ports through which initiators reach the logical units of an array (SAM-5 4.6.6)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TargetPort:
    """A target port. In iSCSI, it is one portal group of a target.

    `device_name` is the name of the target device, and `name` is the name of the port itself. Both have the form that the
    transport protocol defines. `relative_target_port` and `target_port_group` are the numbers that VPD page 83h reports. Each
    port of an array has its own relative target port.
    """

    device_name: str
    name: str
    relative_target_port: int = 1
    target_port_group: int = 1


def iscsi_port(
    target_name: str, portal_group_tag: int = 1, relative_target_port: int = 1, target_port_group: int = 1
) -> TargetPort:
    """Return the port of an iSCSI target that one of its portal groups is (RFC 7143 4.2.7.1)."""
    return TargetPort(target_name, f"{target_name},t,0x{portal_group_tag:04x}", relative_target_port, target_port_group)
