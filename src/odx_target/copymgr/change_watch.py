"""Cancels change vulnerable tokens when a block that they represent is about to change."""

from bisect import bisect_left
from collections.abc import Callable

from odx_target.copymgr.rod_token import RodToken
from odx_target.store.api import Volume


class ChangeWatch:
    """Watches volumes for tokens; a volume that nobody watches pays nothing.

    The unit is the store's block: with logical blocks of 512 bytes a write to a neighbour in the same block cancels too,
    which the type allows. `cancel` is called with each token whose source changes.
    """

    def __init__(self, cancel: Callable[[RodToken], None]) -> None:
        self._cancel = cancel
        self._watched: dict[int, _WatchedVolume] = {}

    def add(self, token: RodToken, volume: Volume) -> None:
        """Watch a volume for a token."""
        watched = self._watched.get(id(volume))
        if watched is None:
            watched = self._watched[id(volume)] = _WatchedVolume(volume, self._cancel)
        watched.add(token)
        token.volume = volume

    def remove(self, token: RodToken) -> None:
        """A token has ended; does nothing for one that is not watched for."""
        if token.volume is None:
            return
        watched = self._watched[id(token.volume)]
        watched.remove(token)
        if not watched.tokens:
            watched.stop()
            del self._watched[id(token.volume)]
        token.volume = None

    def tokens_of(self, volume: Volume) -> list[RodToken]:
        """The tokens for which a volume is watched."""
        watched = self._watched.get(id(volume))
        return [] if watched is None else list(watched.tokens)


class _WatchedVolume:
    """Stands in a volume's `on_change`, before whoever stood there.

    A write asks one sorted list of all watched blocks, so that it costs the same however many tokens there are; only one that
    hits it looks at the tokens. The list is made when it is first needed after tokens have come or gone.
    """

    def __init__(self, volume: Volume, cancel: Callable[[RodToken], None]) -> None:
        self.tokens: list[RodToken] = []
        self._volume = volume
        self._cancel = cancel
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._is_stale = True
        self._before = volume.on_change
        self._hook = self._changing
        volume.on_change = self._hook

    def add(self, token: RodToken) -> None:
        self.tokens.append(token)
        self._is_stale = True

    def remove(self, token: RodToken) -> None:
        self.tokens.remove(token)
        self._is_stale = True

    def stop(self) -> None:
        if self._volume.on_change is self._hook:
            self._volume.on_change = self._before

    def _changing(self, block: int, count_blocks: int) -> None:
        if self._before is not None:
            self._before(block, count_blocks)
        if self._is_stale:
            self._unite()
        end = block + count_blocks
        index = bisect_left(self._starts, end) - 1
        if index < 0 or self._ends[index] <= block:
            return
        for token in list(self.tokens):
            if any(first < end and block < last for first, last in token.rod.store_blocks()):
                self._cancel(token)

    def _unite(self) -> None:
        """All blocks of all tokens, as runs that ascend and do not touch."""
        self._starts, self._ends = [], []
        for first, end in sorted(run for token in self.tokens for run in token.rod.store_blocks()):
            if self._ends and first <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(first)
                self._ends.append(end)
        self._is_stale = False
