"""The live tokens of a copy manager. The cause of a token's end is stored for a limited time after the end."""

import heapq
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator

from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.tokens.inactivity_timeout import expires_at_s, is_expired
from odx_target.copymgr.tokens.rod_token import RodToken, TokenEnd
from odx_target.turns import Steps

_TOMBSTONE_LIVES = 2
"""The cause of a token's end is stored for this number of times the life of the token (SPC-4 5.16.6.7)."""


STEPS_OF_A_TOKEN = 10
"""Number of steps (see `turns`) that the removal of one token takes, without the release of its frozen map."""


class TokenTable:
    """Tokens by identifier. `on_end` is called for every token that is removed from the table."""

    def __init__(self, limits: CopyLimits) -> None:
        self._limits = limits
        self.live: dict[int, RodToken] = {}
        self.tombstones: OrderedDict[int, tuple[TokenEnd, float]] = OrderedDict()
        """For each identifier of an ended token: the cause of its end, and the time until which the cause is stored."""
        self.ended: dict[TokenEnd, int] = dict.fromkeys(TokenEnd, 0)
        self.on_end: list[Callable[[RodToken], None]] = []
        self._schedule: list[tuple[float, int]] = []
        self.adopted: dict[bytes, int] = {}
        """The identifiers here of tokens that the other member of a group has made, by their names."""

    def adopt(self, name: bytes, token: RodToken) -> None:
        """Add and issue a token that another array has made, under its name."""
        self.adopted[name] = token.identifier
        self.add(token)
        self.issue(token, token.used_at_s)

    def leave(self, name: bytes) -> RodToken | None:
        """Remove a token of another array that is alive, and that no copy uses, and return it. Its data stays frozen."""
        token = self.live.get(self.adopted.get(name, 0))
        if token is None or token.leases:
            return None
        del self.live[token.identifier], self.adopted[name]
        return token

    @property
    def is_full(self) -> bool:
        return len(self.live) >= self._limits.max_tokens

    def add(self, token: RodToken) -> None:
        """Add a token that is not issued yet."""
        self.live[token.identifier] = token

    def issue(self, token: RodToken, now_s: float) -> None:
        """Issue a token, just before it is reported to an initiator. The timeout of the token begins now."""
        token.is_issued = True
        token.used_at_s = now_s
        self._arm(token)

    def discard(self, token: RodToken) -> None:
        """Remove a token that was never issued."""
        if self.live.pop(token.identifier, None) is not None:
            self._leave(token)

    def finish(self, token: RodToken, end: TokenEnd, now_s: float) -> None:
        """End a token for the cause `end`. If the token has expired, the cause is EXPIRED instead.

        Does nothing if the token has already ended.
        """
        if self.live.pop(token.identifier, None) is None:
            return
        if is_expired(token, now_s):
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
        """Add one to the number of copies that use a token."""
        token.leases += 1

    def give_back(self, token: RodToken, now_s: float) -> None:
        """Subtract one from the number of copies that use a token. If the token has not ended, its inactivity timeout begins
        again.
        """
        token.leases -= 1
        token.used_at_s = now_s
        if token.identifier in self.live:
            self._arm(token)
        elif not token.leases:
            token.rod.release()

    def find(self, identifier: int, now_s: float) -> RodToken | TokenEnd | None:
        """Return the live token with an identifier, or the cause of its end. Return None for an unknown identifier."""
        token = self.live.get(identifier)
        if token is not None:
            if not is_expired(token, now_s):
                return token
            self.finish(token, TokenEnd.EXPIRED, now_s)
        tombstone = self.tombstones.get(identifier)
        return tombstone[0] if tombstone is not None and now_s < tombstone[1] else None

    def expire(self, now_s: float, steps: Steps) -> bool:
        """Remove expired tokens, and causes that have been stored long enough, until the budget `steps` is used up.

        Return True if there may be more to remove.
        """
        while self._schedule and self._schedule[0][0] <= now_s:
            if steps.left <= 0:
                return True
            steps.take(STEPS_OF_A_TOKEN)
            token = self.live.get(heapq.heappop(self._schedule)[1])
            if token is None:
                continue
            token.is_scheduled = False
            if is_expired(token, now_s):
                self.finish(token, TokenEnd.EXPIRED, now_s)
            elif not token.leases:
                self._arm(token)
        self._forget_ended_names()
        while self.tombstones and next(iter(self.tombstones.values()))[1] <= now_s:
            if steps.take() < 0:
                return True
            self.tombstones.popitem(last=False)
        return False

    def identifiers(self, after: int = 0) -> list[int]:
        """Return the identifiers of live tokens that are greater than `after`, in order.

        The search takes much less time than a turn of the event loop.
        """
        identifiers = list(self.live)  # in ascending order, because newer tokens have higher identifiers
        return identifiers[bisect_right(identifiers, after) :]

    def usable(self, identifier: int, now_s: float) -> RodToken | None:
        """Return the token with an identifier if it is issued and has not expired. Otherwise return None."""
        token = self.live.get(identifier)
        return token if token is not None and token.is_issued and not is_expired(token, now_s) else None

    def next_expiry(self) -> float | None:
        """Return a monotonic time before which no token expires. Return None if no token is going to expire."""
        return self._schedule[0][0] if self._schedule else None

    def issued(self) -> Iterator[RodToken]:
        """Return the issued tokens."""
        return (token for token in self.live.values() if token.is_issued)

    def _arm(self, token: RodToken) -> None:
        """Add the expiry time of a token to the schedule, which has at most one entry per token.

        If the token was used after the entry was made, `expire` adds a new entry.
        """
        if not token.is_scheduled:
            token.is_scheduled = True
            heapq.heappush(self._schedule, (expires_at_s(token), token.identifier))

    def _forget_ended_names(self) -> None:
        """Forget the names of tokens that have ended, if there are many. They are unknown then."""
        if len(self.adopted) > self._limits.max_tokens:
            self.adopted = {name: identifier for name, identifier in self.adopted.items() if identifier in self.live}

    def _leave(self, token: RodToken) -> None:
        if not token.leases:
            token.rod.release()
        for listener in self.on_end:
            listener(token)
