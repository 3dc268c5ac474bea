"""The list identifiers of a host's copy commands (SPC-4 5.16.4.2)."""

from dataclasses import dataclass


@dataclass(slots=True)
class ListIdentifiers:
    """The one counter of a host, for all its disks, targets and paths; after `max_identifier` comes 0."""

    following: int = 0
    max_identifier: int = 0xFFFFFFFF

    def take(self) -> int:
        """Return the next identifier."""
        taken = self.following
        self.following = 0 if taken >= self.max_identifier else taken + 1
        return taken
