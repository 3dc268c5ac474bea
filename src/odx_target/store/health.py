"""The health of a pool.

If a write or sync fails and accepted data may be lost, the pool writes no more, because the state of the data on the disk is
unknown.
"""

from odx_target.store.errors import PoolFailed
from odx_target.store.troubles import Troubles


class Health:
    """The health of a pool. `failure` is the reason why the pool accepts no more writes. It is None while the pool accepts
    writes.
    """

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
        """Refuse all further writes because the pool is closed."""
        if self.failure is None:
            self.failure = "the pool is closed"
