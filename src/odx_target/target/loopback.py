"""Addresses that only this machine can use."""

from ipaddress import IPv6Address, ip_address


def is_loopback(host: str) -> bool:
    """True if a numeric address belongs to this machine only, such as 127.0.0.1, ::1 or ::ffff:127.0.0.1."""
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
