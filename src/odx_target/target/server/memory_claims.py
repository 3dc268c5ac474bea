"""Claims on memory. An allotment is an amount of memory that all sessions share for one purpose.

    guaranteed   a part for each session, independent of the other sessions: no host has to wait for another host
    common       a part that sessions take in turn, if they need more than their guaranteed part

A *small* claim is not larger than the guaranteed part of a session. A small claim uses free guaranteed memory first, and common
memory only for the bytes that do not fit. A *large* claim is larger than the guaranteed part, and uses only common memory. The
common part has room for the largest claim. If the size of the allotment changes, the parts change, but the size that divides
small from large claims stays, because claims are released as they were granted. There are three rules:

1. The sum of the granted claims never exceeds the allotment. After the allotment has become smaller, no common memory is
   granted until the sum fits again.
2. A session that already holds common memory may take more only up to its fair part. The fair part is three quarters of the
   common memory, divided by the number of sessions that hold common memory or wait for it. A session without common memory may
   take one claim of any size.
3. Waiting claims are granted in turn, one for each session. If the next claim of a session would exceed its fair part, the
   session loses its turn. Otherwise, the claim waits until enough memory is free. Meanwhile, later sessions get no common
   memory.

4. Shares may belong to a group, and a group may have a limit: a percentage of the common memory. Its shares together take more
   common memory only up to this limit, apart from one claim of any size if they hold none. While a claim waits because of the
   limit of its group, later shares of the group get no common memory, and other groups go on.

By these rules, every waiting claim is granted when sessions have released enough memory. Work with a granted claim completes
without further memory of the same allotment. Therefore sessions cannot wait for each other in a circle.
"""

from collections import deque
from collections.abc import Callable, Mapping

import trio

FAIR_NUMERATOR, FAIR_DENOMINATOR = 3, 4
"""Fraction of the common memory that is divided into fair parts.

The remaining memory is for the next session that needs common memory.
"""


class Claim:
    """Memory that a session waits for. `granted` is called when the session gets the memory."""

    __slots__ = ("granted", "size_bytes")

    def __init__(self, size_bytes: int, granted: Callable[[], None]) -> None:
        self.size_bytes = size_bytes
        self.granted = granted


class Share:
    """The part of an allotment that one session holds."""

    __slots__ = ("_allotment", "_is_closed", "group", "large_bytes", "small_bytes", "waiting")

    def __init__(self, allotment: "Allotment", group: str = "") -> None:
        self._allotment = allotment
        self.group = group
        self._is_closed = False
        self.small_bytes = 0
        self.large_bytes = 0
        self.waiting: deque[Claim] = deque()

    @property
    def used_bytes(self) -> int:
        return self.small_bytes + self.large_bytes

    @property
    def common_bytes(self) -> int:
        """Number of bytes that this session holds in the common part."""
        return self.large_bytes + max(0, self.small_bytes - self._allotment.guaranteed_bytes)

    def take(self, size_bytes: int) -> bool:
        """Try to claim memory without waiting. If the claim would have to wait, claim no memory and return False."""
        if self._is_closed:
            return False
        needed_bytes = self.needed_of_common(size_bytes)
        if needed_bytes and not self._allotment.may_take(self, needed_bytes):
            return False
        if not needed_bytes and any(self.is_small(claim.size_bytes) for claim in self.waiting):
            return False
        self.add(size_bytes)
        return True

    def wait(self, size_bytes: int, granted: Callable[[], None]) -> Claim:
        """Add a waiting claim. `granted` is called when the session gets the memory.

        `granted` is never called before this method has returned. Call this method only after `take` has returned False. A
        claim on a closed share is never granted.
        """
        claim = Claim(size_bytes, granted)
        if not self._is_closed:
            self.waiting.append(claim)
        return claim

    def withdraw(self, claim: object) -> None:
        """Withdraw a claim that `wait` returned. Does nothing if the claim has been granted."""
        if isinstance(claim, Claim) and claim in self.waiting:
            self.waiting.remove(claim)
            self._allotment.serve(self)

    def give_back(self, size_bytes: int) -> None:
        """Release a granted claim of this size. Does nothing after `close`."""
        if self._is_closed:
            return
        if self.is_small(size_bytes):
            self.small_bytes -= size_bytes
        else:
            self.large_bytes -= size_bytes
        self._allotment.serve(self)

    def close(self) -> None:
        """Release all memory and withdraw all claims, because the session has ended."""
        if not self._is_closed:
            self._is_closed = True
            self.small_bytes = self.large_bytes = 0
            self.waiting.clear()
            self._allotment.remove(self)

    def is_small(self, size_bytes: int) -> bool:
        return size_bytes <= self._allotment.largest_small_bytes

    def needed_of_common(self, size_bytes: int) -> int:
        """Return the number of bytes that a claim would take from the common part."""
        if not self.is_small(size_bytes):
            return size_bytes
        beyond_bytes = self.small_bytes - self._allotment.guaranteed_bytes
        return max(0, beyond_bytes + size_bytes) - max(0, beyond_bytes)

    def add(self, size_bytes: int) -> None:
        if self.is_small(size_bytes):
            self.small_bytes += size_bytes
        else:
            self.large_bytes += size_bytes

    def next_guaranteed(self) -> Claim | None:
        """Return the first waiting small claim if the guaranteed part has room for this claim. Otherwise, return None."""
        claim = next((claim for claim in self.waiting if self.is_small(claim.size_bytes)), None)
        return None if claim is None or self.needed_of_common(claim.size_bytes) else claim


class Allotment:
    """The memory for one purpose: `size_bytes` for at most `max_sessions` sessions.

    Each session has `guaranteed_bytes` of its own.
    """

    def __init__(self, size_bytes: int, max_sessions: int, guaranteed_bytes: int) -> None:
        self._max_shares = max_sessions
        self.largest_small_bytes = guaranteed_bytes
        self._percentages: Mapping[str, int] = {}
        self._set_size(size_bytes, guaranteed_bytes)
        self._shares: dict[Share, None] = {}  # in the order of their turns
        self._is_serving = False
        self._must_serve = False

    def _set_size(self, size_bytes: int, guaranteed_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.guaranteed_bytes = guaranteed_bytes
        self.common_bytes = size_bytes - self._max_shares * guaranteed_bytes

    def resize(self, size_bytes: int, guaranteed_bytes: int) -> None:
        """Change the size of the allotment and of the guaranteed parts. Granted claims stay, and waiting claims get memory that
        is now free.
        """
        self._set_size(size_bytes, guaranteed_bytes)
        for share in list(self._shares):
            self.serve(share)

    @property
    def count_shares(self) -> int:
        return len(self._shares)

    @property
    def used_bytes(self) -> int:
        """Number of bytes that all sessions hold together."""
        return sum(share.used_bytes for share in self._shares)

    @property
    def free_common_bytes(self) -> int:
        return self.common_bytes - sum(share.common_bytes for share in self._shares)

    def limit_groups(self, percentages: Mapping[str, int]) -> None:
        """Set the limits of groups, by their names. All other groups have no limit. Granted claims stay."""
        self._percentages = percentages
        self._serve_all()

    def open_share(self, group: str = "") -> Share:
        """Open the share of a new session in a group."""
        assert len(self._shares) < self._max_shares
        share = Share(self, group)
        self._shares[share] = None
        return share

    def remove(self, share: Share) -> None:
        """Remove a closed share, and grant its memory to other sessions."""
        if share in self._shares:
            del self._shares[share]
            self._serve_all()

    def may_take(self, share: Share, needed_bytes: int) -> bool:
        """True if a share may take `needed_bytes` of the common part now.

        Waiting claims that could use this memory come first.
        """
        return (
            needed_bytes <= self.free_common_bytes
            and self._may_hold(share, needed_bytes)
            and not self._group_waits(share)
            and not any(self._waits_for_free(other) for other in self._shares)
        )

    def serve(self, share: Share) -> None:
        """Grant all waiting claims that can be granted after a change of this share."""
        while (claim := share.next_guaranteed()) is not None:
            self._grant(share, claim)
        if any(other.waiting for other in self._shares):
            self._serve_all()

    def _serve_all(self) -> None:
        """Grant claims in turn. If this method is called again during a grant, the first call makes one more round."""
        self._must_serve = True
        if self._is_serving:
            return
        self._is_serving = True
        try:
            while self._must_serve:
                self._must_serve = False
                self._serve_common()
        finally:
            self._is_serving = False

    def _serve_common(self) -> None:
        full_groups: set[str] = set()
        for share in list(self._shares):
            if share not in self._shares or not share.waiting:
                continue
            claim = share.waiting[0]
            needed_bytes = share.needed_of_common(claim.size_bytes)
            if not self._is_fair(share, needed_bytes) or (needed_bytes and share.group in full_groups):
                continue
            if not self._fits_group(share, needed_bytes):
                full_groups.add(share.group)
                continue
            if needed_bytes > self.free_common_bytes:
                return
            self._shares[share] = self._shares.pop(share)  # its next turn comes after the turns of all other shares
            self._must_serve = True
            self._grant(share, claim)

    def _grant(self, share: Share, claim: Claim) -> None:
        share.waiting.remove(claim)
        share.add(claim.size_bytes)
        claim.granted()

    def _waits_for_free(self, share: Share) -> bool:
        return bool(share.waiting) and self._may_hold(share, share.needed_of_common(share.waiting[0].size_bytes))

    def _may_hold(self, share: Share, needed_bytes: int) -> bool:
        """True if a session may take more common memory as soon as it is free."""
        return self._is_fair(share, needed_bytes) and self._fits_group(share, needed_bytes)

    def _group_waits(self, share: Share) -> bool:
        """True if the group of a share has a limit, and another share of the group waits for memory to which it has a right."""
        if share.group not in self._percentages:
            return False
        waiting = (other for other in self._shares if other.group == share.group and other is not share and other.waiting)
        return any(self._is_fair(other, other.needed_of_common(other.waiting[0].size_bytes)) for other in waiting)

    def _fits_group(self, share: Share, needed_bytes: int) -> bool:
        percentage = self._percentages.get(share.group)
        if percentage is None or not needed_bytes:
            return True
        held_bytes = sum(other.common_bytes for other in self._shares if other.group == share.group)
        return not held_bytes or held_bytes + needed_bytes <= self.common_bytes * percentage // 100

    def _is_fair(self, share: Share, needed_bytes: int) -> bool:
        held_bytes = share.common_bytes
        if not held_bytes or not needed_bytes:
            return True
        others = sum(1 for other in self._shares if other is not share and (other.waiting or other.common_bytes))
        fair_bytes = self.common_bytes * FAIR_NUMERATOR // FAIR_DENOMINATOR // (others + 1)
        return held_bytes + needed_bytes <= fair_bytes


class SessionReadMemory:
    """Memory for the data that the tasks of one nexus read."""

    def __init__(self, share: Share) -> None:
        self._share = share

    def take(self, size_bytes: int) -> bool:
        """Try to claim memory without waiting. If the claim would have to wait, claim no memory and return False."""
        return self._share.take(size_bytes)

    async def wait_for(self, size_bytes: int) -> None:
        """Wait until memory is available, and claim it."""
        granted = trio.Event()
        claim = self._share.wait(size_bytes, granted.set)
        try:
            await granted.wait()
        except BaseException:
            if granted.is_set():
                self._share.give_back(size_bytes)
            else:
                self._share.withdraw(claim)
            raise

    def give_back(self, size_bytes: int) -> None:
        """Release a claim of this size."""
        self._share.give_back(size_bytes)
