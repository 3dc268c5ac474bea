"""Paths as records of the pool, so that they survive a restart of the array."""

import json
from typing import Any

from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.settings import Address, CompressionChoice, PathSettings, Right

PREFIX = "replica/path/"
"""Beginning of the keys under which the pool remembers paths. The name of the path follows."""


MAX_PORT = 65_535


class InvalidPathRecord(Exception):
    """A record of a path cannot be read."""


def encode_path(settings: PathSettings, own_pool: bytes) -> bytes:
    """Encode a path. `own_pool` is the identity of the pool that remembers it."""
    rates = settings.rates
    return json.dumps(
        {
            "own_pool": own_pool.hex(),
            "address": None if settings.address is None else [settings.address.host, settings.address.port],
            "peer_pool": settings.peer_pool.hex(),
            "peer_maker": settings.peer_maker.hex(),
            "peer_certificate": settings.peer_certificate.hex(),
            "secret": settings.secret.hex(),
            "rights": sorted(right.value for right in settings.rights),
            "off_peak": rates.off_peak,
            "peak": rates.peak,
            "peak_hours": rates.peak_hours,
            "compression": settings.compression.value,
            "next_secret": settings.next_secret.hex(),
        }
    ).encode()


def _address(host: object, port: object) -> Address:
    """Return a remembered address. Raises ValueError."""
    if not isinstance(host, str) or type(port) is not int or not 0 < port <= MAX_PORT:
        raise ValueError("the address of the peer is no host and port")
    return Address(host, port)


def decode_path(name: str, value: bytes, own_pool: bytes) -> PathSettings | None:
    """Decode a path. Returns None if it belongs to another pool: this pool is a copy whose identity was renewed.

    Raises InvalidPathRecord.
    """
    try:
        found: dict[str, Any] = json.loads(value)
        if bytes.fromhex(found["own_pool"]) != own_pool:
            return None
        hours = found["peak_hours"]
        return PathSettings(
            name,
            None if found["address"] is None else _address(*found["address"]),
            bytes.fromhex(found["peer_pool"]),
            bytes.fromhex(found["peer_maker"]),
            bytes.fromhex(found["peer_certificate"]),
            bytes.fromhex(found["secret"]),
            frozenset(map(Right, found["rights"])),
            Rates(found["off_peak"], found["peak"], None if hours is None else (hours[0], hours[1])),
            CompressionChoice(found.get("compression", CompressionChoice.AUTO)),
            bytes.fromhex(found.get("next_secret", "")),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InvalidPathRecord(f"the record of the path {name} cannot be read") from error
