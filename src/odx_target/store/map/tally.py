"""The tally of the changed leaves of all maps of a pool."""

NEVER = 1 << 62
"""A number of leaves that is never reached."""


class Tally:
    """`made` is the number of leaves that maps have made or copied and that no saved checkpoint contains. A leaf may be counted
    twice.

    When `made` has reached `due`, call `LeafLoader.check_changes` before each change of a map.
    """

    __slots__ = ("due", "made")

    def __init__(self) -> None:
        self.made = 0
        self.due = NEVER
