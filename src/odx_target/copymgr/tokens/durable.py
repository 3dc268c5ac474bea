"""Storage of persistent tokens in the pool, so that the tokens survive a restart.

The record of a token and the record of its freeze are written in the same batch of the log. Therefore, after a crash, the pool
contains either both the token and the frozen source, or neither of them.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

from odx_target.copymgr.tokens.format import TOKEN_BYTES, decode_head
from odx_target.copymgr.tokens.rod_source import FrozenRod
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.copymgr.tokens.rod_types import ROD_TYPES, RodType
from odx_target.environment import Environment
from odx_target.store.api import Pool, StoreError

KEY_PREFIX = "copymgr/token/"
FORMAT_VERSION = 2
FORMAT_WITHOUT_NAME = 1
# Fraction of the inactivity timeout after which the time of a token's last use is stored again. It is not stored after each
# command.
_TOUCH_AFTER = 0.25

# The two bytes before the number of extents are the length of the initiator name, which follows the extents. They are zero in
# format 1, which has no name.
_FIXED = struct.Struct(f">B7xQddIIIHH{TOKEN_BYTES}s")
MIN_RECORD_BYTES = _FIXED.size
"""Length of a record without extents and name."""
_EXTENT = struct.Struct(">QQ")
_FROZEN = struct.Struct(">Q")
_FROZEN_AT = 8
_TIMES = struct.Struct(">dd")
_TIMES_AT = 16
_TOKEN_AT = _FIXED.size - TOKEN_BYTES


def frozen_in(value: bytes) -> int:
    """Return the number of the frozen map in the record of a token."""
    number: int = _FROZEN.unpack_from(value, _FROZEN_AT)[0]
    return number


def token_in(value: bytes) -> bytes:
    """Return the 512 bytes of the token in its record. They are fewer if the record is damaged."""
    return value[_TOKEN_AT : _FIXED.size]


def restamped(value: bytes, frozen: int, now_s: float) -> bytes:
    """Return the record of a token of another array, which has just been used, for this array and its clock."""
    created_s, used_s = _TIMES.unpack_from(value, _TIMES_AT)
    times = _TIMES.pack(now_s - max(0.0, used_s - created_s), now_s)
    return value[:_FROZEN_AT] + _FROZEN.pack(frozen) + times + value[_TIMES_AT + _TIMES.size :]


class DurableTokens:
    """The persistent tokens that a pool stores. Times in the pool are seconds since 1970."""

    def __init__(self, pool: Pool, environment: Environment) -> None:
        self._pool = pool
        self._environment = environment
        self._touched_at_s: dict[int, float] = {}
        self._keys: dict[int, str] = {}
        """The keys of the tokens that another array has made, by their identifiers here."""
        self.damaged = 0
        """Number of invalid entries that were found and removed."""

    def put(self, token: RodToken) -> None:
        """Store a token. Raises PoolFull, PoolFailed."""
        self._pool.remember(self._key(token.identifier), self._encode(token))
        self._touched_at_s[token.identifier] = token.used_at_s

    def touch(self, token: RodToken) -> None:
        """Store the time of a token's last use. If the pool accepts no more writes, the time is not stored, and the token
        expires earlier after a restart.
        """
        if token.used_at_s - self._touched_at_s.get(token.identifier, 0.0) < token.inactivity_timeout_s * _TOUCH_AFTER:
            return
        try:
            self.put(token)
        except StoreError:
            return

    def remove(self, token: RodToken) -> None:
        """Remove a token that has ended from the pool."""
        if self._touched_at_s.pop(token.identifier, None) is not None:
            with suppress(StoreError):  # if the token stays in the pool, it ends by its timeout after a restart
                self._pool.forget(self._key(token.identifier))
        self._keys.pop(token.identifier, None)

    def load(self) -> list[RodToken]:
        """Return all stored tokens whose frozen map still exists. Remove all other tokens from the pool."""
        tokens = []
        for key in self._pool.remembered_keys(KEY_PREFIX):
            token = self._decode(self._pool.remembered(key) or b"")
            if token is None:
                self.damaged += 1
                self._pool.forget(key)
            else:
                self._touched_at_s[token.identifier] = token.used_at_s
                tokens.append(token)
        return tokens

    def load_adopted(self, prefix: str, next_identifier: Callable[[], int]) -> Iterator[RodToken]:
        """Yield the tokens of another array whose keys begin with `prefix`, and whose frozen maps exist. They get identifiers
        of this array. May raise the exceptions of `Volume.write`.
        """
        present = set(self._keys.values())
        for key in self._pool.remembered_keys(prefix):
            token = None if key in present else self._decode(self._pool.remembered(key) or b"")
            if token is not None:
                token.identifier = next_identifier()
                self._keys[token.identifier] = key
                self._touched_at_s[token.identifier] = token.used_at_s
                yield token

    def leave(self, token: RodToken) -> None:
        """Keep the record of a token that another array has made, but use it no more."""
        self._touched_at_s.pop(token.identifier, None)
        self._keys.pop(token.identifier, None)

    def _key(self, identifier: int) -> str:
        return self._keys.get(identifier) or f"{KEY_PREFIX}{identifier:016x}"

    def _encode(self, token: RodToken) -> bytes:
        wall_s = self._environment.time() - self._environment.monotonic()
        assert isinstance(token.rod, FrozenRod), "a persistent token has its own data"
        name = token.initiator_name.encode("utf-8")
        fixed = _FIXED.pack(
            FORMAT_VERSION,
            token.rod.frozen.identifier,
            token.created_at_s + wall_s,
            token.used_at_s + wall_s,
            token.rod_type,
            int(token.inactivity_timeout_s),
            int(token.lifetime_s),
            len(name),
            token.rod.count_extents,
            token.data,
        )
        return fixed + b"".join(_EXTENT.pack(*extent) for extent in token.rod.extents) + name

    def _decode(self, value: bytes) -> RodToken | None:
        if len(value) < _FIXED.size:
            return None
        version, frozen_identifier, created_s, used_s, rod_type, timeout_s, lifetime_s, name_bytes, count, data = (
            _FIXED.unpack_from(value)
        )
        frozen = self._pool.frozen_maps.get(frozen_identifier)
        end = _FIXED.size + count * _EXTENT.size
        is_known = version in (FORMAT_VERSION, FORMAT_WITHOUT_NAME) and rod_type in ROD_TYPES
        if not is_known or frozen is None or len(value) != end + name_bytes:
            return None
        extents = list(_EXTENT.iter_unpack(value[_FIXED.size : end]))
        now_s, wall_now_s = self._environment.monotonic(), self._environment.time()
        token = RodToken(
            identifier=decode_head(data).identifier,
            data=data,
            rod_type=RodType(rod_type),
            rod=FrozenRod(frozen, extents),
            creator=decode_head(data).creator,
            inactivity_timeout_s=timeout_s,
            lifetime_s=lifetime_s,
            now_s=now_s,
            initiator_name=value[end:].decode("utf-8", "replace"),
        )
        # if the wall clock was set back, the times of the token must not lie in the future
        token.created_at_s = now_s - max(0.0, wall_now_s - created_s)
        token.used_at_s = now_s - max(0.0, wall_now_s - used_s)
        return token
