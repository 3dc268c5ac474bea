"""Limits of the memory that the sessions of an array may use together.

    part                          bytes                    purpose
    a session, logged in          SESSION_BYTES            its receive buffer, responses to be sent, task records
    a discovery session           DISCOVERY_SESSION_BYTES  the same, but only for text
    a socket that logs in         LOGIN_BYTES              a small receive buffer, the text of the login
    unsolicited                   an eighth of the rest    data-out that arrived without R2T, if its command has to wait
    written                       7/16 of the rest         data-out after R2T, until its command has ended
    read                          7/16 of the rest         data that is read from a disk, and large reads that are not sent yet

The first three parts are reserved for the maximum number of sessions and sockets. Therefore a small command that completes at
once claims no memory. The other parts are allotments, which sessions share. Work claims memory in the order of the table. Work
that holds unsolicited memory may wait for written memory. Work that holds read memory waits for no other memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from odx_target.iscsi.limits import MAX_FIRST_BURST_BYTES, MAX_TRANSFER_BYTES
from odx_target.target.server.memory_claims import Allotment, Share
from odx_target.target.server.memory_limits import (
    DEFAULT_MEMORY_BYTES,
    FIXED_BYTES,
    MAX_SHARES,
    MIN_GUARANTEED_BYTES,
    MIN_MEMORY_BYTES,
    MIN_UNSOLICITED_BYTES,
)


@dataclass(frozen=True, slots=True)
class SessionShares:
    """The shares that one session holds: one share of each allotment."""

    unsolicited: Share
    written: Share
    read: Share

    @property
    def used_bytes(self) -> int:
        return self.unsolicited.used_bytes + self.written.used_bytes + self.read.used_bytes

    def close(self) -> None:
        """Release all memory, because the session and all its work have ended."""
        for share in (self.unsolicited, self.written, self.read):
            share.close()


class MemoryBudget:
    """The allotments of one array. `limit_bytes` is the sum of the reserved memory and all allotments.

    The sum must be at least MIN_MEMORY_BYTES.
    """

    def __init__(self, limit_bytes: int = DEFAULT_MEMORY_BYTES) -> None:
        unsolicited, written, read = _division(limit_bytes)
        self.unsolicited = Allotment(unsolicited.size_bytes, MAX_SHARES, unsolicited.guaranteed_bytes)
        self.written = Allotment(written.size_bytes, MAX_SHARES, written.guaranteed_bytes)
        self.read = Allotment(read.size_bytes, MAX_SHARES, read.guaranteed_bytes)

    def set_limit(self, limit_bytes: int) -> None:
        """Change the limit while sessions hold memory. If they hold more than a smaller limit allows, no common memory is
        granted until they have released it.
        """
        allotments = (self.unsolicited, self.written, self.read)
        for allotment, part in zip(allotments, _division(limit_bytes), strict=True):
            allotment.resize(part.size_bytes, part.guaranteed_bytes)

    @property
    def used_bytes(self) -> int:
        """Number of bytes that sessions now hold in all allotments together."""
        return self.unsolicited.used_bytes + self.written.used_bytes + self.read.used_bytes

    def limit_groups(self, percentages: Mapping[str, int]) -> None:
        """Set the percentages of the common memory that the sessions of some groups may use together, by the name of the
        group.
        """
        for allotment in (self.unsolicited, self.written, self.read):
            allotment.limit_groups(percentages)

    def open_session(self, group: str = "") -> SessionShares | None:
        """Open the memory of a new session of a group. The caller must close the returned memory.

        Returns None while too many old sessions are still ending.
        """
        if self.unsolicited.count_shares >= MAX_SHARES:
            return None
        return SessionShares(self.unsolicited.open_share(group), self.written.open_share(group), self.read.open_share(group))

    def no_memory(self) -> SessionShares:
        """Return memory that grants no claims, for a session that is about to be cut."""
        memory = SessionShares(Share(self.unsolicited), Share(self.written), Share(self.read))
        memory.close()
        return memory


class _Part(NamedTuple):
    """The size of an allotment, and the guaranteed part of each session."""

    size_bytes: int
    guaranteed_bytes: int


def _division(limit_bytes: int) -> tuple[_Part, _Part, _Part]:
    """Return the allotments for unsolicited, written and read data. Raises ValueError if the limit is too small."""
    if limit_bytes < MIN_MEMORY_BYTES:
        raise ValueError(f"{limit_bytes} bytes are too few for the sessions of an array")
    rest_bytes = limit_bytes - FIXED_BYTES
    unsolicited_bytes = max(MIN_UNSOLICITED_BYTES, rest_bytes // 8)
    data = _part((rest_bytes - unsolicited_bytes) // 2, MAX_TRANSFER_BYTES)
    return _part(unsolicited_bytes, MAX_FIRST_BURST_BYTES), data, data


def _part(size_bytes: int, largest_claim_bytes: int) -> _Part:
    """Divide an allotment. The guaranteed parts are together at most three quarters of it.

    The common part has room for the largest claim.
    """
    guaranteed_bytes = min(size_bytes * 3 // 4, size_bytes - largest_claim_bytes) // MAX_SHARES
    return _Part(size_bytes, max(MIN_GUARANTEED_BYTES, guaranteed_bytes))
