"""The list identifiers of a host's copy commands (SPC-4 5.16.4.2)."""


class ListIdentifiers:
    """The list identifiers of a host: one counter for all its disks, from 0 on, wrapping (SPC-4 5.16.4.2)."""

    def __init__(self, first: int = 0) -> None:
        self._next = first

    def take(self) -> int:
        taken, self._next = self._next, (self._next + 1) & 0xFFFFFFFF
        return taken
