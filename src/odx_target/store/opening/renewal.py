"""Renewal of the identity of a copied pool.

The head of a pool has three identities. One identity is in all batches of the log, and never changes. The other two identities
are seen by hosts. Only these two are renewed.

The renewal replaces only one small file, the head. So its duration does not depend on the size of the pool. After a crash, the
pool has either the old head or the new head.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from odx_target.store.errors import StoreError
from odx_target.store.opening.directory_pool import HEAD_NAME, DirectoryHead, DirectoryLock
from odx_target.store.opening.format_head import IDENTITY_BYTES, OpenHead


class Renewal(NamedTuple):
    """The identity by which hosts know a pool, before and after the renewal."""

    former: bytes
    present: bytes


def renew_identity(path: Path, entropy: Callable[[int], bytes], *, keep_volumes: bool) -> Renewal:
    """Give a new identity to a pool that is not open. Its volumes get new public identities too, unless `keep_volumes` is True.

    This function waits for the disk. Raises PoolInUse, PoolDamaged. Raises StoreError if there is no pool or the head cannot be
    written.
    """
    try:
        if not (path / HEAD_NAME).exists():
            raise StoreError(f"there is no pool in {path}")
        lock = DirectoryLock(path)
        try:
            store = DirectoryHead(path)
            head = OpenHead(store, store.read() or b"")
            former = head.fields
            names_identity = former.names_identity if keep_volumes else entropy(IDENTITY_BYTES)
            head.replace(former._replace(array_identity=entropy(IDENTITY_BYTES), names_identity=names_identity))
            return Renewal(former.array_identity, head.fields.array_identity)
        finally:
            lock.release()
    except OSError as error:
        raise StoreError(f"the identity cannot be renewed: {error.strerror or error}") from error
