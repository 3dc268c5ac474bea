"""Cancels change vulnerable tokens when a block that they represent is about to change."""

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
        watched.tokens.append(token)
        token.volume = volume

    def remove(self, token: RodToken) -> None:
        """A token has ended; does nothing for one that is not watched for."""
        if token.volume is None:
            return
        watched = self._watched[id(token.volume)]
        watched.tokens.remove(token)
        if not watched.tokens:
            watched.stop()
            del self._watched[id(token.volume)]
        token.volume = None

    def tokens_of(self, volume: Volume) -> list[RodToken]:
        """The tokens for which a volume is watched."""
        watched = self._watched.get(id(volume))
        return [] if watched is None else list(watched.tokens)


class _WatchedVolume:
    """Stands in a volume's `on_change`, before whoever stood there."""

    def __init__(self, volume: Volume, cancel: Callable[[RodToken], None]) -> None:
        self.tokens: list[RodToken] = []
        self._volume = volume
        self._cancel = cancel
        self._before = volume.on_change
        self._hook = self._changing
        volume.on_change = self._hook

    def stop(self) -> None:
        if self._volume.on_change is self._hook:
            self._volume.on_change = self._before

    def _changing(self, block: int, count_blocks: int) -> None:
        if self._before is not None:
            self._before(block, count_blocks)
        for token in [token for token in self.tokens if token.rod.overlaps(block, count_blocks)]:
            self._cancel(token)
