"""The hints of all paths. A path has one table for snapshots and tokens, because both use the same fingerprints."""

from collections.abc import Iterable

from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.limits import DEFAULT_HINTS


class HintTables:
    """One table for each path, of `count` hints. A table is made when it is used for the first time."""

    def __init__(self, count: int = DEFAULT_HINTS) -> None:
        self._count = count
        self._tables: dict[bytes, Hints] = {}

    def keep(self, secrets: Iterable[bytes]) -> None:
        """Forget the hints of all other paths, because they were removed or have new secrets."""
        self._tables = {secret: self._tables[secret] for secret in secrets if secret in self._tables}

    def of(self, secret: bytes) -> Hints:
        """Return the hints of the path with this secret, from which its fingerprints are made."""
        if secret not in self._tables:
            self._tables[secret] = Hints(self._count)
        return self._tables[secret]
