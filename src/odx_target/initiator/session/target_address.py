"""The value of TargetAddress (RFC 7143 13.8): `HOST[:PORT][,PORTAL GROUP TAG]`."""

import ipaddress
import re

from odx_target.initiator.url import DEFAULT_PORT, Portal
from odx_target.iscsi.host_names import host_name_fault
from odx_target.iscsi.negotiation.keys import decode_number
from odx_target.iscsi.pdu.binary_value import decode_binary

_ADDRESS = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\],\s]+))(?::([\w+/=]+))?(?:,([\w+/=]+))?")
MAX_NUMBER = 0xFFFF


def parse_target_address(text: str) -> Portal:
    """Return the portal of a TargetAddress. Raises ValueError, for example if the port or the tag is not a number of 16
    bits.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:100]!r} is no HOST:PORT")
    bracketed, host, port_text, tag_text = match.groups()
    if bracketed is not None:
        host = _ipv6_address(bracketed)
    elif fault := host_name_fault(host):
        raise ValueError(fault)
    port = DEFAULT_PORT if port_text is None else _number(port_text)
    if tag_text is not None:
        _number(tag_text)
    if not port:
        raise ValueError("there is no port 0")
    return Portal(host, port)


def _ipv6_address(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is no IPv6 address") from error


def _number(text: str) -> int:
    """Return the number of 16 bits that a text encodes in decimal, hexadecimal or base64 (13.9)."""
    try:
        number = int.from_bytes(decode_binary(text, 2), "big") if text[:2].lower() == "0b" else decode_number(text)
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is no number") from error
    if number > MAX_NUMBER:
        raise ValueError(f"{text[:40]!r} is over {MAX_NUMBER}")
    return number
