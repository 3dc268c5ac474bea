"""The records that wait for room in the log."""

from operator import is_

from odx_target.store.log.batch import header_blocks


class Deferred(list[bytes]):
    """Encoded records that wait until the pool has room for them, in the order of their changes. Only changes that must not
    fail are deferred in this way.
    """

    def blocks(self) -> int:
        """Return the largest number of blocks that these records can take in the log."""
        return 2 * header_blocks(sum(map(len, self)), 0)

    def drop(self, saved: list[bytes]) -> None:
        """Drop the records `saved` if they still wait, because a checkpoint contains their changes."""
        if len(saved) <= len(self) and all(map(is_, saved, self)):
            del self[: len(saved)]
