from dataclasses import dataclass


@dataclass(slots=True)
class ListIdentifiers:
    """The one counter of a host, for all its disks, targets and paths; after `maximum` comes 0."""

    following: int = 0
    maximum: int = 0xFFFFFFFF

    def take(self) -> int:
        taken = self.following
        self.following = 0 if taken >= self.maximum else taken + 1
        return taken
