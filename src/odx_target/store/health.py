"""The health of a pool. The first failed write or sync ends all writing, as the state of the disk is then unknown."""

from odx_target.store.errors import PoolFailed
from odx_target.store.troubles import Troubles


class Health:
    """`failure` is None, or why the pool takes no more writes."""

    def __init__(self, troubles: Troubles) -> None:
        self.troubles = troubles
        self.failure: str | None = None

    def fail(self, doing: str, error: OSError) -> PoolFailed:
        if self.failure is None:
            self.failure = f"{doing} failed: {error.strerror or error}"
            self.troubles.failed(self.failure)
        return PoolFailed(self.failure)

    def check(self) -> None:
        if self.failure is not None:
            raise PoolFailed(self.failure)

    def end(self) -> None:
        """The pool is closed: nothing is written any more."""
        if self.failure is None:
            self.failure = "the pool is closed"
