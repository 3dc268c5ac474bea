"""Addresses that only this machine can use."""

from dataclasses import replace
from ipaddress import IPv6Address, ip_address

from odx_target.target.config.settings import Portal

_ANY_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the array listens there; nothing is bound here


def is_loopback(host: str) -> bool:
    """True if a numeric address belongs to this machine only, such as 127.0.0.1, ::1 or ::ffff:127.0.0.1."""
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def from_this_machine(portal: Portal) -> Portal:
    """Return the portal at which this machine reaches an array that listens at `portal`."""
    return replace(portal, host=_ANY_ADDRESSES.get(portal.host, portal.host))
