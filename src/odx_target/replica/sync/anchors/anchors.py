"""Anchors: frozen maps of all volumes of a group, taken by both members at the same change.

Both maps of an anchor have the same content. So a later resync ships only what has changed since at either member, and equal
digests of an anchor prove that both members were equal.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from odx_target.replica.link.errors import PeerFault
from odx_target.replica.sync.group_records import ANCHOR_PREFIX
from odx_target.store.api import Absent, FrozenMap, Pool, Volume

GUID_BYTES = 16

MAX_ANCHORS = 3
"""Maximum number of anchors of a group: one that both members have, one that is being taken, and one whose blocks are read."""


class Anchor(NamedTuple):
    """An anchor. `frozen` are the numbers of the frozen maps, in the order of the volumes. `taken_s` is the time at which this
    member took it, by its wall clock.
    """

    guid: bytes
    frozen: tuple[int, ...]
    taken_s: float = 0.0


class AnchorRecord(NamedTuple):
    """The anchors of a member. `taken` is the guid of the one that was taken when the record was written, or empty."""

    anchors: tuple[Anchor, ...]
    taken: bytes = b""
    is_suspect: bool = False
    """True if the members had different contents at one of the anchors. No resync may use them."""


class Anchors:
    """The anchors of one group at one member, the oldest first. Every change is in the open batch of the pool."""

    def __init__(self, pool: Pool, name: str) -> None:
        self._pool = pool
        self._key = ANCHOR_PREFIX + name
        record = decode_anchors(pool.remembered(self._key))
        self._anchors = list(record.anchors)
        self._is_removed = False
        self.is_suspect = record.is_suspect
        """True if the members had different contents at an anchor. The next anchor ends this state."""
        self.pinned: list[bytes] = []
        """Anchors that stay because their blocks are read: at most one."""

    @property
    def guids(self) -> list[bytes]:
        """The guids of the anchors, the oldest first."""
        return [anchor.guid for anchor in self._anchors]

    @property
    def newest(self) -> Anchor | None:
        """The newest anchor whose maps exist."""
        return next((each for each in reversed(self._anchors) if self.maps(each.guid) is not None), None)

    def maps(self, guid: bytes) -> Sequence[FrozenMap] | None:
        """Return the frozen maps of an anchor. None if there is no such anchor, or if one of its maps is missing."""
        anchor = next((each for each in self._anchors if each.guid == guid), None)
        if anchor is None or not all(number in self._pool.frozen_maps for number in anchor.frozen):
            return None
        return [self._pool.frozen_maps[number] for number in anchor.frozen]

    def newest_common(self, guids: Sequence[bytes], count_volumes: int) -> bytes | None:
        """Return the newest of some anchors that this member can use too."""
        if self.is_suspect:
            return None
        usable = [each for each in self.guids if each in guids and 0 < len(self.maps(each) or ()) <= count_volumes]
        return usable[-1] if usable else None

    def take(self, guid: bytes, volumes: Sequence[Volume], others: Sequence[bytes], now_s: float) -> None:
        """Take an anchor of the present content at the wall clock time `now_s`, and release all anchors but `others`.

        Raises the exceptions of `Volume.write`. Then nothing has changed.
        """
        frozen: list[FrozenMap] = []
        try:
            for volume in volumes:
                frozen.append(volume.freeze(durable=True))
            kept = [anchor for anchor in self._anchors if anchor.guid in others]
            self._keep([*kept, Anchor(guid, tuple(each.identifier for each in frozen), now_s)], guid)
        except BaseException:
            for each in frozen:
                each.release()
            raise

    def keep_only(self, guids: Sequence[bytes]) -> None:
        """Release all other anchors. Raises the exceptions of `Volume.write`. Then nothing has changed."""
        kept = [anchor for anchor in self._anchors if anchor.guid in guids]
        if len(kept) < len(self._anchors):
            self._keep(kept, is_suspect=self.is_suspect)

    def suspect(self) -> None:
        """Note that the members had different contents at an anchor. Raises the exceptions of `Volume.write`."""
        self._keep(self._anchors, is_suspect=True)

    def remove(self) -> None:
        """Release all anchors, and forget them. No further ones are taken."""
        self._is_removed = True
        self._pool.forget(self._key)
        self._release_all_but([])

    def _keep(self, anchors: Sequence[Anchor], taken: bytes = b"", *, is_suspect: bool = False) -> None:
        if self._is_removed:
            raise Absent("the group was deleted")
        self._pool.remember(self._key, encode_anchors(AnchorRecord(tuple(anchors), taken, is_suspect)))
        self.is_suspect = is_suspect
        self._release_all_but(anchors)

    def _release_all_but(self, anchors: Sequence[Anchor]) -> None:
        former, self._anchors = self._anchors, list(anchors)
        wanted = {number for anchor in anchors for number in anchor.frozen}
        for anchor in former:
            for number in anchor.frozen:
                frozen = self._pool.frozen_maps.get(number)
                if number not in wanted and frozen is not None:
                    frozen.release()


def encode_anchors(record: AnchorRecord) -> bytes:
    anchors = [{"guid": anchor.guid.hex(), "frozen": anchor.frozen, "taken_s": anchor.taken_s} for anchor in record.anchors]
    return json.dumps({"taken": record.taken.hex(), "anchors": anchors, "is_suspect": record.is_suspect}).encode()


def decode_anchors(value: bytes | None) -> AnchorRecord:
    """Decode the record of the anchors. Without a record that can be read, there are none: a resync then ships everything."""
    if value is None:
        return AnchorRecord(())
    try:
        found = json.loads(value)
        anchors = tuple(
            Anchor(bytes.fromhex(each["guid"]), tuple(map(int, each["frozen"])), float(each.get("taken_s", 0.0)))
            for each in found["anchors"]
        )
        return AnchorRecord(anchors, bytes.fromhex(found["taken"]), bool(found["is_suspect"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return AnchorRecord(())


def decode_guids(texts: Sequence[str]) -> list[bytes]:
    """Decode guids in a message. Raises PeerFault."""
    try:
        return [bytes.fromhex(text) for text in texts]
    except ValueError:
        raise PeerFault("a guid in a message is not hexadecimal") from None
