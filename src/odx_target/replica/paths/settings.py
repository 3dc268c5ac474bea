"""The settings of a path to another array, which the array remembers."""

from dataclasses import dataclass, field
from enum import StrEnum

from odx_target.replica.link.throttle import Rates

MAX_PATHS = 16
"""Maximum number of paths of an array. Each path takes up to 64 MiB for received data."""

MAX_PATH_CONNECTIONS = 4
"""Maximum number of open connections of a path. Arrays that dial each other have two for a moment, and a dead connection is
noticed late."""


class Right(StrEnum):
    """Rights of the peer of a path."""

    SERVE_TOKENS = "serve-tokens"
    """The peer may read the data of tokens that this array has made."""
    REDEEM_TOKENS = "redeem-tokens"
    """Hosts of this array may redeem tokens that the peer has made."""
    SERVE_LUNS = "serve-luns"
    """EXTENDED COPY at the peer may read the LUNs that this array has for the same initiator."""
    WRITE_LUNS = "write-luns"
    """EXTENDED COPY at the peer may write the LUNs that this array has for the same initiator."""
    REPLICATE = "replicate"
    """The peer may send and read snapshots."""


class CompressionChoice(StrEnum):
    """How data is compressed before it is sent on a path."""

    AUTO = "auto"
    """LZ4, or zstandard while a trial shows that the path is faster with it."""
    OFF = "off"
    LAN = "lan"
    """LZ4."""
    WAN = "wan"
    """zstandard."""


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port of a peer."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PathSettings:
    """A path to a peer that this array was paired with.

    If `address` is None, only the peer dials. `peer_maker` is the identity in the tokens that the peer makes. `secret` is known
    only to both arrays; keys for single purposes are derived from it.
    """

    name: str
    address: Address | None
    peer_pool: bytes
    peer_maker: bytes
    peer_certificate: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    rights: frozenset[Right] = frozenset(Right)
    rates: Rates = Rates()
    compression: CompressionChoice = CompressionChoice.AUTO
    next_secret: bytes = field(default=b"", repr=False)
    """Secret that the path has after a new pairing that was begun. Empty if none was begun since the last one."""
