"""The options of an initiator's session."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from odx_target.initiator.url import IscsiUrl

DEFAULT_INITIATOR_NAME = "iqn.2026-11.io.odx-target:initiator"
MAX_RECV_DATA_SEGMENT_BYTES = 256 << 10
MAX_BURST_BYTES = 1 << 20
"""Length of the longest transfer of a host copy. One R2T can request all data of such a transfer."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The identity of one session, and the values that the initiator wants for its parameters.

    `isid` has 6 bytes (RFC 7143 11.12.5). Two sessions of one initiator name to one target need different ISIDs, because
    otherwise the second session would end the first. Times are in seconds. The initiator offers the wanted digests, but the
    target may decline a digest.
    """

    isid: bytes
    initiator_name: str = DEFAULT_INITIATOR_NAME
    header_digest: bool = False
    data_digest: bool = False
    immediate_data: bool = True
    initial_r2t: bool = False
    max_recv_data_segment_bytes: int = MAX_RECV_DATA_SEGMENT_BYTES
    max_burst_bytes: int = MAX_BURST_BYTES
    first_burst_bytes: int = 256 << 10
    connect_timeout_s: float = 10.0
    login_timeout_s: float = 15.0
    command_timeout_s: float = 60.0
    """Timeout of a command. The default is the timeout of disks on a Windows server (TimeOutValue)."""
    logout_timeout_s: float = 5.0
    user: str | None = None
    secret: str | None = field(default=None, repr=False)
    target_user: str | None = None
    """User name with which the target must authenticate itself (mutual CHAP). Mutual CHAP also needs `target_secret` and
    `entropy`."""
    target_secret: str | None = field(default=None, repr=False)
    entropy: Callable[[int], bytes] | None = field(default=None, repr=False)
    """A function that returns the given number of random bytes. The bytes are used for the initiator's challenges."""

    @property
    def asks_for_proof(self) -> bool:
        """True if the target must authenticate itself."""
        return self.target_secret is not None


def random_isid(entropy: bytes) -> bytes:
    """Return an ISID of the random format (type 10b), made from 5 random bytes."""
    return bytes([0x80]) + entropy[:5].ljust(5, b"\0")


def operational_offers(options: SessionOptions, *, discovery: bool) -> dict[str, str]:
    """Return the keys that an initiator offers in the operational stage (RFC 7143 13)."""
    offers = {
        "HeaderDigest": "CRC32C,None" if options.header_digest else "None",
        "DataDigest": "CRC32C,None" if options.data_digest else "None",
        "MaxRecvDataSegmentLength": str(options.max_recv_data_segment_bytes),
        "DefaultTime2Wait": "2",
        "DefaultTime2Retain": "0",
        "ErrorRecoveryLevel": "0",
    }
    if discovery:
        return offers
    return offers | {
        "InitialR2T": _yes_no(options.initial_r2t),
        "ImmediateData": _yes_no(options.immediate_data),
        "MaxBurstLength": str(options.max_burst_bytes),
        "FirstBurstLength": str(min(options.first_burst_bytes, options.max_burst_bytes)),
        "MaxConnections": "1",
        "MaxOutstandingR2T": "16",
        "DataPDUInOrder": "Yes",
        "DataSequenceInOrder": "Yes",
    }


def with_credentials(options: SessionOptions, url: IscsiUrl) -> SessionOptions:
    """Return the options with the users and secrets of a URL."""
    return replace(options, user=url.user, secret=url.secret, target_user=url.target_user, target_secret=url.target_secret)


def _yes_no(value: bool) -> str:
    return "Yes" if value else "No"
