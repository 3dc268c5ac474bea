"""Makes tokens, and checks if a token is genuine. The pool stores the secret that signs the tokens. It also counts the starts
of the copy manager, except starts after which no token was made.
"""

import hashlib

from odx_target.copymgr.tokens.format import (
    MAKER_BYTES,
    RANDOM_BYTES,
    maker_of,
    target_device_descriptor,
    unsigned_token,
)
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.copymgr.tokens.signature import is_signed, sign
from odx_target.environment import Environment
from odx_target.scsi.unit.logical_unit import LogicalUnit, naa_designator
from odx_target.store.api import Pool

SECRET_KEY = "copymgr/secret"  # noqa: S105 - this is the name of the stored secret, not the secret
EPOCH_KEY = "copymgr/epoch"
SECRET_BYTES = 32
_EPOCH_BYTES = 4
_SEQUENCE_BITS = 32


def maker_identity(pool_identity: bytes) -> bytes:
    """Return the maker field of the tokens of the pool with this identity."""
    return hashlib.sha256(b"copy manager:" + pool_identity).digest()[:MAKER_BYTES]


class TokenIssuer:
    """Makes the tokens of one copy manager.

    The upper half of a token identifier is the number of the start, and counts only starts after which a token was made. The
    lower half is the number of tokens that were made since this start. Therefore no identifier is used twice.
    """

    def __init__(self, pool: Pool, environment: Environment) -> None:
        self._pool = pool
        self._environment = environment
        self._maker = maker_identity(pool.identity)
        self._secret = b""
        self._next_identifier = 0

    @property
    def maker(self) -> bytes:
        """The maker field of the tokens of this copy manager."""
        return self._maker

    def open(self) -> None:
        """Load the secret from the pool, or make a secret. A second call does nothing.

        Raises PoolFull or PoolFailed if a new pool cannot store the secret. A start of the copy manager is counted only when
        the first token is made. Therefore a pool can be opened even if it has no room for another record.
        """
        if self._secret:
            return
        secret = self._pool.remembered(SECRET_KEY)
        if secret is None or len(secret) != SECRET_BYTES:
            secret = self._environment.entropy(SECRET_BYTES)
            self._pool.remember(SECRET_KEY, secret)
        # The identity takes part, so that a copy of the pool with a renewed identity makes and accepts other tokens.
        self._secret = hashlib.sha256(b"token secret:" + self._pool.identity + secret).digest()

    def make(self, rod_type: RodType, logical_unit: LogicalUnit, size_bytes: int, device_name: str) -> tuple[int, bytes]:
        """Return a new identifier and its token. `device_name` is the name of the target device.

        Raises PoolFull, PoolFailed.
        """
        self.open()
        identifier = self.next_identifier()
        unsigned = unsigned_token(
            rod_type,
            identifier,
            logical_unit.identity,
            size_bytes,
            logical_unit.block_bytes,
            target_device_descriptor(device_name, naa_designator(self._pool.identity)),
            self._maker,
            self._environment.entropy(RANDOM_BYTES),
        )
        return identifier, sign(self._secret, unsigned)

    def next_identifier(self) -> int:
        """Return a new identifier. Raises PoolFull, PoolFailed."""
        if not self._next_identifier & ((1 << _SEQUENCE_BITS) - 1):
            self._begin_epoch()
        identifier = self._next_identifier
        self._next_identifier += 1
        return identifier

    def is_genuine(self, token: bytes) -> bool:
        """True if a token of 512 bytes was signed with the secret of this pool."""
        self.open()
        return is_signed(self._secret, token)

    def claims_to_be_ours(self, token: bytes) -> bool:
        """True if the maker field of a token of 512 bytes names this copy manager. The token may be forged nevertheless."""
        return maker_of(token) == self._maker

    def _begin_epoch(self) -> None:
        stored = self._pool.remembered(EPOCH_KEY) or b""
        epoch = int.from_bytes(stored, "big") + 1
        self._pool.remember(EPOCH_KEY, epoch.to_bytes(_EPOCH_BYTES, "big"))
        self._next_identifier = (epoch << _SEQUENCE_BITS) + 1
