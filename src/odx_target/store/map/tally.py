"""The tally of the changed leaves of all maps of a pool."""

NEVER = 1 << 62
"""A number of leaves that is never reached."""


class Tally:
    """Number of leaves that maps have made or copied and that no saved checkpoint contains. It may count a leaf twice.

    When `made` reaches `due`, a caller that changes a map must call `LeafLoader.check_changes` first.
    """

    __slots__ = ("due", "made")

    def __init__(self) -> None:
        self.made = 0
        self.due = NEVER
