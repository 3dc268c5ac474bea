"""How much memory all sessions of an array may take together, and for what.

    part                          bytes                    what it is for
    a session, logged in          SESSION_BYTES            its receive buffer, answers on their way, task records
    a discovery session           DISCOVERY_SESSION_BYTES  the same, for text alone
    a socket that logs in         LOGIN_BYTES              a small receive buffer, the text of the login
    unsolicited                   an eighth of the rest    data that came with commands that have to wait, or came early
    written                       7/16 of the rest         data asked for by R2T, until its command has ended
    read                          7/16 of the rest         data on its way from a disk, and large reads that nobody takes

The first three are there for the largest number of each, so nothing has to be counted while commands are small and end at
once. The others are allotments, which sessions share. Work takes memory in the order of the table: it may hold unsolicited data
while it waits for room to be written to, and both while it waits for room to read, never the other way round.
"""

from dataclasses import dataclass

from odx_target.iscsi.limits import (
    MAX_CONNECTIONS,
    MAX_DISCOVERY_SESSIONS,
    MAX_FIRST_BURST_BYTES,
    MAX_LOGINS,
    MAX_TRANSFER_BYTES,
)
from odx_target.target.server.allotment import Allotment, Share

KIB, MIB = 1 << 10, 1 << 20

DEFAULT_MEMORY_BYTES = 512 * MIB

SESSION_BYTES = 2304 * KIB
"""A receive buffer of 1 MiB; as much of small reads and other answers that the host has not taken; 256 KiB for the records of
144 commands and the objects around them."""

DISCOVERY_SESSION_BYTES = 512 * KIB
"""A receive buffer for one of the largest PDUs, and 64 KiB of text in either direction."""

LOGIN_BYTES = 128 * KIB
"""A receive buffer of 16 KiB, 64 KiB of text and the objects of a connection."""

MAX_SHARES = MAX_CONNECTIONS + 4
"""Sessions that share the allotments: a session that another one replaces is not quite gone when that one begins."""

FIXED_BYTES = MAX_SHARES * SESSION_BYTES + MAX_DISCOVERY_SESSIONS * DISCOVERY_SESSION_BYTES + MAX_LOGINS * LOGIN_BYTES

MIN_GUARANTEED_BYTES = MAX_FIRST_BURST_BYTES + 64 * KIB
"""The part of each allotment that a session can always have: one command of the size that Windows sends."""

MIN_UNSOLICITED_BYTES = MAX_SHARES * MIN_GUARANTEED_BYTES + 4 * MIB

MIN_MEMORY_BYTES = 320 * MIB
"""Below this the allotments would have no room for one of the largest commands beside what is guaranteed."""

MAX_MEMORY_BYTES = 1 << 40


@dataclass(frozen=True, slots=True)
class SessionMemory:
    """The parts of the allotments that a session holds."""

    unsolicited: Share
    written: Share
    read: Share

    @property
    def used_bytes(self) -> int:
        return self.unsolicited.used_bytes + self.written.used_bytes + self.read.used_bytes

    def close(self) -> None:
        """Give back everything: the session has ended, and nothing works for it any more."""
        for share in (self.unsolicited, self.written, self.read):
            share.close()


class MemoryBudget:
    """The allotments of one array. `limit_bytes` is for everything in the table above, at least MIN_MEMORY_BYTES."""

    def __init__(self, limit_bytes: int = DEFAULT_MEMORY_BYTES) -> None:
        if limit_bytes < MIN_MEMORY_BYTES:
            raise ValueError(f"{limit_bytes} bytes are too few for the sessions of an array")
        rest_bytes = limit_bytes - FIXED_BYTES
        unsolicited_bytes = max(MIN_UNSOLICITED_BYTES, rest_bytes // 8)
        data_bytes = (rest_bytes - unsolicited_bytes) // 2
        self.unsolicited = _allotment(unsolicited_bytes, MAX_FIRST_BURST_BYTES)
        self.written = _allotment(data_bytes, MAX_TRANSFER_BYTES)
        self.read = _allotment(data_bytes, MAX_TRANSFER_BYTES)

    @property
    def used_bytes(self) -> int:
        """The memory that sessions hold now, by allotment."""
        return self.unsolicited.used_bytes + self.written.used_bytes + self.read.used_bytes

    def open_session(self) -> SessionMemory | None:
        """The memory of a session that begins, which the caller closes; None while too many have not quite ended."""
        if self.unsolicited.count_shares >= MAX_SHARES:
            return None
        return SessionMemory(self.unsolicited.open_share(), self.written.open_share(), self.read.open_share())

    def no_memory(self) -> SessionMemory:
        """Shares of nothing, for a session that is about to be cut."""
        memory = SessionMemory(Share(self.unsolicited), Share(self.written), Share(self.read))
        memory.close()
        return memory


def _allotment(size_bytes: int, largest_claim_bytes: int) -> Allotment:
    """Three quarters of it guaranteed, as far as the rest has room for the largest claim."""
    guaranteed_bytes = min(size_bytes * 3 // 4, size_bytes - largest_claim_bytes) // MAX_SHARES
    return Allotment(size_bytes, MAX_SHARES, max(MIN_GUARANTEED_BYTES, guaranteed_bytes))
