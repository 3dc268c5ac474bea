"""A new head for a pool whose head, the file `pool.json`, is lost or damaged.

Each checkpoint repeats the identities of the head, and each batch of the log has the identity of the pool. So the head is made
again from the catalogue, or from the log if the catalogue is lost too.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from odx_target.store.catalogue.sqlite import SqliteCatalogue
from odx_target.store.errors import CatalogueDamaged, HeadDamaged, PoolDamaged
from odx_target.store.log.batch import announced_identity
from odx_target.store.log.checksum_index import SegmentView, read_header
from odx_target.store.opening.directory_pool import CATALOGUE_NAME, HEAD_NAME, SEGMENTS_NAME, DirectoryHead, free_name
from odx_target.store.opening.format_head import (
    Head,
    OpenHead,
    check_unchanged,
    encode_head,
    head_of_checkpoint,
    new_head,
)
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.segment import SEGMENT_DESCRIPTORS, SegmentStore

LOST = "the head is lost or damaged, and is made again"

IDENTITIES_LOST = (
    "the identities that `odx-target pool renew-identity` may have given to the pool are lost: hosts know the pool by the "
    "identities with which it was made"
)

TIER_UNKNOWN = "it is not known if the pool has a capacity tier: if it has one, its blocks count as lost"


class RebuiltHead:
    """A head that is written to the disk at its first replacement. Until then, nothing changes. A damaged head is kept under
    another name.
    """

    def __init__(self, directory: Path, head: Head) -> None:
        self._directory = directory
        self._file = DirectoryHead(directory)
        self._on_disk = self._file.read()
        self._is_kept = self._on_disk is None
        self._document = encode_head(head)

    def describe(self) -> str:
        return self._file.describe()

    def read(self) -> bytes | None:
        return self._document

    def replace(self, expected: bytes | None, document: bytes) -> None:
        check_unchanged(self._document, expected, self.describe())
        if not self._is_kept:
            free_name(self._directory / f"{HEAD_NAME}.damaged").hardlink_to(self._directory / HEAD_NAME)
            self._is_kept = True
        self._file.replace(self._on_disk, document)
        self._on_disk = self._document = document


def find_head(directory: Path) -> tuple[OpenHead, list[str]]:
    """Return the head of a closed pool, and complaints if it is lost and was made again in memory.

    Raises PoolDamaged if the pool has another format or if its identity cannot be found. Raises OSError.
    """
    store = DirectoryHead(directory)
    document = store.read()
    if document is not None:
        with suppress(HeadDamaged):
            return OpenHead(store, document), []
    head, complaints = _rebuilt(directory)
    return OpenHead(RebuiltHead(directory, head), encode_head(head)), complaints


def _rebuilt(directory: Path) -> tuple[Head, list[str]]:
    """Make a head from the catalogue or the log. It is marked as `cleaned`, because parts of the log may have been freed."""
    complaints = [f"{directory / HEAD_NAME}: {LOST}"]
    pool = _pool_in_catalogue(directory / CATALOGUE_NAME)
    segments = DirectorySegments(directory / SEGMENTS_NAME, SEGMENT_DESCRIPTORS)
    try:
        identities = _identities_in_log(segments)
    finally:
        segments.close()
    if len(identities) > 1:
        raise PoolDamaged("the head is lost, and the segments belong to several pools")
    if pool is not None:
        head, is_complete = head_of_checkpoint(pool)
        if identities - {head.identity}:
            raise PoolDamaged("the head is lost, and the catalogue and the log belong to different pools")
    elif identities:
        head, is_complete = new_head(identities.pop()), False
    else:
        raise PoolDamaged("the head is lost, and neither the catalogue nor the log has the identity of the pool")
    if not is_complete:
        complaints += [IDENTITIES_LOST, TIER_UNKNOWN]
    return head._replace(cleaned=True), complaints


def _pool_in_catalogue(path: Path) -> Mapping[str, Any] | None:
    """Return the fields of the pool in the last checkpoint. Returns None if the catalogue is missing or damaged."""
    if not path.exists():
        return None
    try:
        catalogue = SqliteCatalogue(path)
    except CatalogueDamaged:
        return None
    try:
        return catalogue.stored_pool()
    except PoolDamaged:
        return None
    finally:
        catalogue.close()


def _identities_in_log(segments: SegmentStore) -> set[bytes]:
    """Return the identities of pools in the first headers of the segments. Raises OSError."""
    found = set()
    for number, size_blocks in segments.names().items():
        view = SegmentView(segments.open(number), size_blocks)
        identity = announced_identity(view.read(0, 1))
        if identity is not None and read_header(view, 0, identity) is not None:
            found.add(identity)
    return found
