"""The list identifiers of a host's copy commands (SPC-4 5.16.4.2)."""

from dataclasses import dataclass


@dataclass(slots=True)
class ListIdentifiers:
    """The counter of list identifiers that a host uses for all disks, targets and paths. After `max_identifier` the counter
    continues at 0.
    """

    following: int = 0
    max_identifier: int = 0xFFFFFFFF

    def take(self) -> int:
        """Return the next list identifier, and advance the counter."""
        taken = self.following
        self.following = 0 if taken >= self.max_identifier else taken + 1
        return taken
