"""Cancels change-vulnerable tokens just before a block that they represent is written."""

from collections.abc import Callable

from odx_target.copymgr.tokens.block_set import BlockSet
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.store.api import Volume


class ChangeWatch:
    """Watches writes to the volumes of change-vulnerable tokens. Writes to other volumes are not slowed down.

    The watch compares store blocks. If logical blocks have 512 bytes, a write to another logical block in the same store block
    cancels the token too. The ROD type "change vulnerable" allows this cancellation. `cancel` is called with each token whose
    source changes.
    """

    def __init__(self, cancel: Callable[[RodToken], None]) -> None:
        self._cancel = cancel
        self._watched: dict[int, _WatchedVolume] = {}

    def add(self, token: RodToken, volume: Volume) -> None:
        """Watch the writes to a volume that is the source of a token."""
        watched = self._watched.get(id(volume))
        if watched is None:
            watched = self._watched[id(volume)] = _WatchedVolume(volume, self._cancel)
        watched.add(token)
        token.volume = volume

    def remove(self, token: RodToken) -> None:
        """Remove a token that has ended from the watch. Does nothing if the token is not in the watch."""
        if token.volume is None:
            return
        watched = self._watched[id(token.volume)]
        watched.remove(token)
        if not watched.tokens:
            watched.stop()
            del self._watched[id(token.volume)]
        token.volume = None

    def tokens_of(self, volume: Volume) -> list[RodToken]:
        """Return the watched tokens whose source is a volume."""
        watched = self._watched.get(id(volume))
        return [] if watched is None else list(watched.tokens)


class _WatchedVolume:
    """Listener for the changes of one volume.

    Each write is compared with one set, which contains the blocks of all tokens. Therefore the cost of a write does not depend
    on the number of tokens. The tokens are examined one by one only if a write touches a block in the set. Blocks of ended
    tokens stay in the set until a write touches these blocks.
    """

    def __init__(self, volume: Volume, cancel: Callable[[RodToken], None]) -> None:
        self.tokens: dict[RodToken, BlockSet] = {}
        self._volume = volume
        self._cancel = cancel
        self._watched = BlockSet()
        volume.on_change.append(self._changing)

    def add(self, token: RodToken) -> None:
        runs = token.rod.store_blocks()
        self.tokens[token] = BlockSet(runs)
        for first, end in runs:
            self._watched.add(first, end)

    def remove(self, token: RodToken) -> None:
        del self.tokens[token]

    def stop(self) -> None:
        self._volume.on_change.remove(self._changing)

    def _changing(self, block: int, count_blocks: int) -> None:
        end = block + count_blocks
        if self._watched.touches(block, end):
            for token in [token for token, blocks in self.tokens.items() if blocks.touches(block, end)]:
                self._cancel(token)
            self._watched.remove(block, end)
