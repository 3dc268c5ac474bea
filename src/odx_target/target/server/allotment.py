"""A part of the memory for sessions, for one purpose, and how it is shared.

    guaranteed   to each session, whatever the others do: nobody has to wait for another host
    common       for those who need more than that, in turn

A *small* claim fits into what is guaranteed, and takes of the common part only what goes beyond it. A *large* claim does not
fit and takes all of itself from the common part, which has room for the largest of all. Three rules:

1. What is granted never exceeds the allotment.
2. A session that holds some of the common part may hold as much as a fair part of it: three quarters, divided by the sessions
   that hold or wait for some. One that holds none may take one claim of any size.
3. Claims that must wait are granted in turn: one of a session, then one of the next. A session that is over its fair part is
   passed over; the first that is not keeps those after it from taking what it waits for.

So everything that waits is granted once others, or the session itself, have given back. What is granted is for work that needs
no more of the same allotment to end: then no circle of waiting can close.
"""

from collections import deque
from collections.abc import Callable

FAIR_NUMERATOR, FAIR_DENOMINATOR = 3, 4
"""The part of the common memory that sessions may fill before any of them waits; the rest is there when the next one comes."""


class Claim:
    """Memory that a session waits for. `granted` is called once it is the session's."""

    __slots__ = ("granted", "size_bytes")

    def __init__(self, size_bytes: int, granted: Callable[[], None]) -> None:
        self.size_bytes = size_bytes
        self.granted = granted


class Share:
    """The part of an allotment that one session holds."""

    __slots__ = ("_allotment", "_is_closed", "large_bytes", "small_bytes", "waiting")

    def __init__(self, allotment: "Allotment") -> None:
        self._allotment = allotment
        self._is_closed = False
        self.small_bytes = 0
        self.large_bytes = 0
        self.waiting: deque[Claim] = deque()

    @property
    def used_bytes(self) -> int:
        return self.small_bytes + self.large_bytes

    @property
    def common_bytes(self) -> int:
        """How much of it is of the common part."""
        return self.large_bytes + max(0, self.small_bytes - self._allotment.guaranteed_bytes)

    def take(self, size_bytes: int) -> bool:
        """Claim memory at once; False, with nothing taken, where that would have to wait."""
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
        """Claim memory that comes later, in turn: `granted` is called once it is there, but not before this returns.

        For what could not be taken; from a share that is closed nothing comes.
        """
        claim = Claim(size_bytes, granted)
        if not self._is_closed:
            self.waiting.append(claim)
        return claim

    def withdraw(self, claim: object) -> None:
        """Wait no longer for what `wait` returned; does nothing if it has been granted."""
        if isinstance(claim, Claim) and claim in self.waiting:
            self.waiting.remove(claim)
            self._allotment.serve(self)

    def give_back(self, size_bytes: int) -> None:
        """End a claim of this size. After `close` there is nothing to give back."""
        if self._is_closed:
            return
        if self.is_small(size_bytes):
            self.small_bytes -= size_bytes
        else:
            self.large_bytes -= size_bytes
        self._allotment.serve(self)

    def close(self) -> None:
        """Give back everything and wait for nothing; the session has ended."""
        if not self._is_closed:
            self._is_closed = True
            self.small_bytes = self.large_bytes = 0
            self.waiting.clear()
            self._allotment.remove(self)

    def is_small(self, size_bytes: int) -> bool:
        return size_bytes <= self._allotment.guaranteed_bytes

    def needed_of_common(self, size_bytes: int) -> int:
        """How much of the common part a claim would take."""
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
        """The first small claim, if what is guaranteed has room for it."""
        claim = next((claim for claim in self.waiting if self.is_small(claim.size_bytes)), None)
        return None if claim is None or self.needed_of_common(claim.size_bytes) else claim


class Allotment:
    """`size_bytes` for at most `max_sessions` sessions, each with `guaranteed_bytes` of its own."""

    def __init__(self, size_bytes: int, max_sessions: int, guaranteed_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.guaranteed_bytes = guaranteed_bytes
        self.common_bytes = size_bytes - max_sessions * guaranteed_bytes
        self._max_shares = max_sessions
        self._shares: dict[Share, None] = {}  # in the order of their turns
        self._is_serving = False
        self._must_serve = False

    @property
    def count_shares(self) -> int:
        return len(self._shares)

    @property
    def used_bytes(self) -> int:
        """The memory that all sessions hold together."""
        return sum(share.used_bytes for share in self._shares)

    @property
    def free_common_bytes(self) -> int:
        return self.common_bytes - sum(share.common_bytes for share in self._shares)

    def open_share(self) -> Share:
        """The share of a session that begins."""
        assert len(self._shares) < self._max_shares
        share = Share(self)
        self._shares[share] = None
        return share

    def remove(self, share: Share) -> None:
        """A share is closed: what it held is there for others."""
        if share in self._shares:
            del self._shares[share]
            self._serve_all()

    def may_take(self, share: Share, needed_bytes: int) -> bool:
        """True if a share may have so much of the common part without waiting: no other that waits could have it."""
        return (
            needed_bytes <= self.free_common_bytes
            and self._is_fair(share, needed_bytes)
            and not any(self._waits_for_free(other) for other in self._shares)
        )

    def serve(self, share: Share) -> None:
        """Grant what can be, after a change of one share."""
        while (claim := share.next_guaranteed()) is not None:
            self._grant(share, claim)
        if any(other.waiting for other in self._shares):
            self._serve_all()

    def _serve_all(self) -> None:
        """Grant claims in turn. What is granted may lead back here: then there is one more round."""
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
        for share in list(self._shares):
            if share not in self._shares or not share.waiting:
                continue
            claim = share.waiting[0]
            needed_bytes = share.needed_of_common(claim.size_bytes)
            if not self._is_fair(share, needed_bytes):
                continue
            if needed_bytes > self.free_common_bytes:
                return
            self._shares[share] = self._shares.pop(share)  # its next turn comes after all others'
            self._must_serve = True
            self._grant(share, claim)

    def _grant(self, share: Share, claim: Claim) -> None:
        share.waiting.remove(claim)
        share.add(claim.size_bytes)
        claim.granted()

    def _waits_for_free(self, share: Share) -> bool:
        return bool(share.waiting) and self._is_fair(share, share.needed_of_common(share.waiting[0].size_bytes))

    def _is_fair(self, share: Share, needed_bytes: int) -> bool:
        held_bytes = share.common_bytes
        if not held_bytes or not needed_bytes:
            return True
        others = sum(1 for other in self._shares if other is not share and (other.waiting or other.common_bytes))
        fair_bytes = self.common_bytes * FAIR_NUMERATOR // FAIR_DENOMINATOR // (others + 1)
        return held_bytes + needed_bytes <= fair_bytes
