"""The head of a catalogue: a JSON document with the whole checkpoint except the remembered values, volumes, frozen maps and
snapshots.
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

from odx_target.store.catalogue.interface import Checkpoint, FrozenMapState, SnapshotState, VolumeState
from odx_target.store.map.frozen_root import FrozenRoot

ReadRoot: TypeAlias = Callable[[int, int, int], FrozenRoot]
"""Function that reads the tree below a node. Its arguments are the number of the node, the number of levels, and the size in
blocks."""


def encode_document(checkpoint: Checkpoint, nodes: Mapping[str, int]) -> bytes:
    """Encode the head for a checkpoint whose trees have been stored. `nodes` has the fields of `NodeCounts` in
    `transactional`.
    """
    return _encoded(_document(checkpoint, nodes)).encode()


def checkpoint_of(
    document: dict[str, Any],
    volumes: tuple[VolumeState, ...],
    frozen_maps: Collection[FrozenMapState],
    snapshots: Collection[SnapshotState],
    remembered: Mapping[str, bytes],
) -> Checkpoint:
    """Make a checkpoint from the decoded head of a catalogue and the content of its other bodies."""
    return Checkpoint(
        position=document["position"],
        pool=document["pool"],
        volumes=volumes,
        frozen_maps=frozen_maps,
        snapshots=snapshots,
        remembered=remembered,
        segments=_segments(document["pool"].pop("segments", None)),
    )


class PartCounts(NamedTuple):
    """Numbers of volumes, frozen maps and snapshots."""

    volumes: int
    frozen_maps: int
    snapshots: int


def counts_of_parts(document: dict[str, Any]) -> PartCounts:
    """Return the numbers of parts that the head of a catalogue announces. Older programs stored lists of parts in the head."""
    found = (document[name] for name in PartCounts._fields)
    return PartCounts(*(len(each) if isinstance(each, list) else int(each) for each in found))


def root_row(root: FrozenRoot) -> dict[str, int]:
    """Return the fields that describe the tree of a map."""
    number = root.root.stored if root.root is not None else 0
    return {"root": number, "levels": root.levels, "size_blocks": root.size_blocks}


def root_of_row(row: dict[str, Any], read_root: ReadRoot) -> FrozenRoot:
    return read_root(row["root"], row["levels"], row["size_blocks"])


def _document(checkpoint: Checkpoint, nodes: Mapping[str, int]) -> dict[str, Any]:
    segments = {} if checkpoint.segments is None else {"segments": [list(row) for row in sorted(checkpoint.segments.items())]}
    return {
        "position": dict(checkpoint.position),
        "pool": {**checkpoint.pool, **segments},
        "volumes": len(checkpoint.volumes),
        "frozen_maps": len(checkpoint.frozen_maps),
        "snapshots": len(checkpoint.snapshots),
        "remembered": len(checkpoint.remembered),
        "nodes": dict(nodes),
    }


def _encoded(value: object) -> str:
    """Encode a value as JSON. The elements of a long list are encoded one by one, because no other thread can run during one
    call of the encoder.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_encoded(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(json.dumps(row) for row in value) + "]"
    return json.dumps(value)


def _segments(rows: list[list[int]] | None) -> dict[int, int] | None:
    return None if rows is None else {int(number): int(size_blocks) for number, size_blocks in rows}
