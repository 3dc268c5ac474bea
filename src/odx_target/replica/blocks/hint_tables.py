"""The hints of all paths. A path has one table for snapshots and tokens, because both use the same fingerprints."""

from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.limits import DEFAULT_HINTS


class HintTables:
    """One table for each path, of `count` hints. A table is made when it is used for the first time."""

    def __init__(self, count: int = DEFAULT_HINTS) -> None:
        self._count = count
        self._tables: dict[bytes, Hints] = {}

    def of(self, secret: bytes) -> Hints:
        """Return the hints of the path with this secret, from which its fingerprints are made."""
        if secret not in self._tables:
            self._tables[secret] = Hints(self._count)
        return self._tables[secret]
