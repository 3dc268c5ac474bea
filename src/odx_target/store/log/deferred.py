"""The records that wait for room in the log."""

from operator import is_

from odx_target.store.log.batch import header_blocks


class Deferred(list[bytes]):
    """Encoded records that wait until the pool has room for them. They belong to changes that must not fail.

    The records are in the order of the changes.
    """

    def blocks(self) -> int:
        """Number of blocks that the records may take in the log."""
        return 2 * header_blocks(sum(map(len, self)), 0)

    def drop(self, saved: list[bytes]) -> None:
        """Drop the `saved` records if they still wait. A checkpoint contains their changes."""
        if len(saved) <= len(self) and all(map(is_, saved, self)):
            del self[: len(saved)]
