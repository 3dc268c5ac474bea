"""The persistent tokens of the other member of a group of two arrays.

The primary ships each persistent token of its volumes, and the other member freezes the same content. A member that becomes the
primary accepts these tokens. Until then it only keeps their records, because only the primary knows when they are used.

A token is named by the array that made it and by its identifier, because both arrays count their identifiers by themselves.
"""

from collections.abc import Callable, Container, Iterable, Iterator

from odx_target.copymgr.tokens.durable import KEY_PREFIX, frozen_in, restamped, token_in
from odx_target.copymgr.tokens.format import MAKER_BYTES, TOKEN_BYTES, creator_identity, decode_head, maker_of
from odx_target.copymgr.tokens.issuer import maker_identity
from odx_target.environment import Environment
from odx_target.scsi.unit.logical_unit import naa_designator
from odx_target.store.api import Pool, Volume

ADOPTED_PREFIX = "copymgr/adopted/"
IDENTIFIER_BYTES = 8
NAME_BYTES = MAKER_BYTES + IDENTIFIER_BYTES
"""Length of the name of a token: its maker, and its identifier."""


def name_of(token: bytes) -> bytes:
    """Return the name of a token of 512 bytes."""
    return maker_of(token) + decode_head(token).identifier.to_bytes(IDENTIFIER_BYTES, "big")


def name_in_key(pool: Pool, group: str, key: str) -> bytes | None:
    """Return the name of the token whose record a pool keeps under a key. None if the key is not that of such a record."""
    own_prefix = prefix_of(group)
    try:
        if key.startswith(KEY_PREFIX):
            return maker_identity(pool.identity) + bytes.fromhex(key.removeprefix(KEY_PREFIX))
        return bytes.fromhex(key.removeprefix(own_prefix)) if key.startswith(own_prefix) else None
    except ValueError:
        return None


def creators_of(pool: Pool, volumes: Iterable[Volume]) -> set[bytes]:
    """Return the identities of the logical units of some volumes, by which tokens name them."""
    return {naa_designator(pool.public_identity(volume)) for volume in volumes}


def is_of(value: bytes, creators: Container[bytes]) -> bool:
    """True if the record of a token is complete, and the token is one of a logical unit with an identity in `creators`."""
    token = token_in(value)
    return len(token) == TOKEN_BYTES and creator_identity(decode_head(token).creator) in creators


def prefix_of(group: str) -> str:
    """Return the beginning of the keys of the tokens that a member of a group has adopted."""
    return f"{ADOPTED_PREFIX}{group}/"


class AdoptedTokens:
    """The tokens of the other member of the group `group`. The caller commits the pool."""

    def __init__(self, pool: Pool, environment: Environment, group: str) -> None:
        self.on_use: Callable[[bytes], None] = lambda _: None
        """Function that is called when the primary has used the token with a name, which this array may have made."""
        self.on_end: Callable[[bytes], bool] = lambda _: False
        """Function that is called when the token with a name has ended. Returns True if it was alive here, and has ended."""
        self._pool = pool
        self._environment = environment
        self._prefix = prefix_of(group)
        self._unnamed: set[str] = set()

    def keep(self, name: bytes, value: bytes, volume: Volume | None) -> None:
        """Keep the record of a token that the primary has made or used. `volume` has the content of a new token.

        A new token that is known already stays as it is. May raise the exceptions of `Volume.write`.
        """
        key = self._prefix + name.hex()
        self._unnamed.discard(key)
        known = self._pool.remembered(key)
        self.on_use(name)
        if name.startswith(maker_identity(self._pool.identity)):
            return
        if known is not None:
            self._pool.remember(key, restamped(value, frozen_in(known), self._environment.time()), spare=True)
        elif volume is not None:
            frozen = volume.freeze(durable=True)
            try:
                self._pool.remember(key, restamped(value, frozen.identifier, self._environment.time()))
            except BaseException:
                frozen.release()
                raise

    def end(self, name: bytes) -> None:
        """Forget a token that has ended at the primary."""
        if not self.on_end(name):
            self._forget(self._prefix + name.hex())

    def begin_names(self) -> None:
        """Begin to note which tokens the primary names. The others have ended."""
        self._unnamed = set(self._pool.remembered_keys(self._prefix))

    def end_names(self) -> None:
        """Forget the tokens that the primary has not named since `begin_names`."""
        for key in sorted(self._unnamed):
            self.end(bytes.fromhex(key.removeprefix(self._prefix)))
        self._unnamed = set()

    def remove(self) -> None:
        """Forget all tokens, because this array is no member of the group any more."""
        self.begin_names()
        self.end_names()

    def records(self, volumes: Iterable[Volume]) -> Iterator[tuple[bytes, bytes]]:
        """Yield the names and the records of the tokens of some volumes: those that this member has made, and others."""
        creators = creators_of(self._pool, volumes)
        for prefix in (KEY_PREFIX, self._prefix):
            for key in self._pool.remembered_keys(prefix):
                value = self._pool.remembered(key)
                if value is not None and is_of(value, creators):
                    yield name_of(token_in(value)), value

    def _forget(self, key: str) -> None:
        known = self._pool.remembered(key)
        if known is None:
            return
        frozen = self._pool.frozen_maps.get(frozen_in(known))
        if frozen is not None:
            frozen.release()
        self._pool.forget(key)
