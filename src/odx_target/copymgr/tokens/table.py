"""All tokens of a copy manager: those that live, and for a while the causes of those that do not."""

import heapq
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator

from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.tokens.rod_token import RodToken, TokenEnd
from odx_target.turns import Steps

# The cause is remembered for twice as long as the token lived (SPC-4 5.16.6.7 asks for that).
_TOMBSTONE_LIVES = 2


STEPS_OF_A_TOKEN = 10
"""To end one, beside what its frozen map takes."""


class TokenTable:
    """Tokens by identifier. `on_end` hears of every token that leaves, whatever the reason."""

    def __init__(self, limits: CopyLimits) -> None:
        self._limits = limits
        self.live: dict[int, RodToken] = {}
        self.tombstones: OrderedDict[int, tuple[TokenEnd, float]] = OrderedDict()
        """Identifier -> (cause, until when it is remembered)."""
        self.ended: dict[TokenEnd, int] = dict.fromkeys(TokenEnd, 0)
        self.on_end: list[Callable[[RodToken], None]] = []
        self._schedule: list[tuple[float, int]] = []

    @property
    def is_full(self) -> bool:
        return len(self.live) >= self._limits.max_tokens

    def add(self, token: RodToken) -> None:
        """A token begins; it is not issued yet."""
        self.live[token.identifier] = token

    def issue(self, token: RodToken, now_s: float) -> None:
        """A token is about to be told to an initiator; its timeout runs from now on."""
        token.is_issued = True
        token.used_at_s = now_s
        self._arm(token)

    def discard(self, token: RodToken) -> None:
        """A token that nobody was told of is not to be."""
        if self.live.pop(token.identifier, None) is not None:
            self._leave(token)

    def finish(self, token: RodToken, end: TokenEnd, now_s: float) -> None:
        """A token ends for a cause; does nothing if it has ended already. One whose time was over has expired before."""
        if self.live.pop(token.identifier, None) is None:
            return
        if token.is_expired(now_s):
            end = TokenEnd.EXPIRED
        token.end = end
        self.ended[end] += 1
        life_s = max(now_s - token.created_at_s, token.inactivity_timeout_s)
        until_s = now_s + max(_TOMBSTONE_LIVES * life_s, self._limits.min_tombstone_s)
        self.tombstones[token.identifier] = (end, until_s)
        while len(self.tombstones) > self._limits.max_tombstones:
            self.tombstones.popitem(last=False)
        self._leave(token)

    def lease(self, token: RodToken) -> None:
        """A copy begins to use a token."""
        token.leases += 1

    def give_back(self, token: RodToken, now_s: float) -> None:
        """A copy has ended: the timeout runs anew, and a token that has ended meanwhile lets go of what it held."""
        token.leases -= 1
        token.used_at_s = now_s
        if token.identifier in self.live:
            self._arm(token)
        elif not token.leases:
            token.rod.release()

    def find(self, identifier: int, now_s: float) -> RodToken | TokenEnd | None:
        """A live token, or why it is none, or None if nothing is known of it."""
        token = self.live.get(identifier)
        if token is not None:
            if not token.is_expired(now_s):
                return token
            self.finish(token, TokenEnd.EXPIRED, now_s)
        tombstone = self.tombstones.get(identifier)
        return tombstone[0] if tombstone is not None and now_s < tombstone[1] else None

    def expire(self, now_s: float, steps: Steps) -> bool:
        """End what is over, as far as the steps go; True if something may be left."""
        while self._schedule and self._schedule[0][0] <= now_s:
            if steps.left <= 0:
                return True
            steps.take(STEPS_OF_A_TOKEN)
            token = self.live.get(heapq.heappop(self._schedule)[1])
            if token is None:
                continue
            token.is_scheduled = False
            if token.is_expired(now_s):
                self.finish(token, TokenEnd.EXPIRED, now_s)
            elif not token.leases:
                self._arm(token)
        while self.tombstones and next(iter(self.tombstones.values()))[1] <= now_s:
            if steps.take() < 0:
                return True
            self.tombstones.popitem(last=False)
        return False

    def identifiers(self, after: int = 0) -> list[int]:
        """Of all live tokens behind that one, in order. A list of 65,536 takes no time worth a turn of the loop."""
        identifiers = list(self.live)  # they ascend: what comes later has a higher one
        return identifiers[bisect_right(identifiers, after) :]

    def usable(self, identifier: int, now_s: float) -> RodToken | None:
        """The token if a host may have it and its time is not over."""
        token = self.live.get(identifier)
        return token if token is not None and token.is_issued and not token.is_expired(now_s) else None

    def next_expiry(self) -> float | None:
        """No token expires before this monotonic time; None: none is going to."""
        return self._schedule[0][0] if self._schedule else None

    def issued(self) -> Iterator[RodToken]:
        """Tokens that a host may have."""
        return (token for token in self.live.values() if token.is_issued)

    def _arm(self, token: RodToken) -> None:
        """At most one entry for each token: where it comes up too early it is put in again."""
        if not token.is_scheduled:
            token.is_scheduled = True
            heapq.heappush(self._schedule, (token.expires_at_s, token.identifier))

    def _leave(self, token: RodToken) -> None:
        if not token.leases:
            token.rod.release()
        for listener in self.on_end:
            listener(token)
