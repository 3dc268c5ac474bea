"""Tests of both ends of a stream without a link: what is acknowledged, what is repeated, and what ends a read."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from odx_target.environment import Buffer, Event
from odx_target.replica.link.errors import ChannelEnded, LinkError
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.kinds import NO_FLAGS, Flag, Kind
from odx_target.replica.sync.anchors.anchors import Anchors
from odx_target.replica.sync.group_records import GroupRecords, GroupSettings
from odx_target.replica.sync.group_volumes import GroupVolumes
from odx_target.replica.sync.positions import StreamPosition
from odx_target.replica.sync.stream.documents import restored
from odx_target.replica.sync.stream.items import Item, ItemKind
from odx_target.replica.sync.stream.preparation import Preparation
from odx_target.replica.sync.stream.relog import Relog
from odx_target.replica.sync.stream.resync import whole_content
from odx_target.replica.sync.stream.shipping import Range
from odx_target.replica.sync.stream.stream_receiver import StreamReceiver
from odx_target.replica.sync.stream.stream_sender import StreamSender
from odx_target.store.api import BLOCK_BYTES, StoreError, Volume
from tests.sim.network import Network
from tests.sim.simulated_array import SimulatedArray
from tests.sim.world import World

OLD, NEW, OTHER = (bytes([value]) * BLOCK_BYTES for value in (1, 2, 3))
LOG = bytes(range(16))


@dataclass
class Wire:
    """An exchange whose sent frames are kept, and which receives the frames in `inbox`."""

    sent: list[Frame] = field(default_factory=list)
    inbox: deque[Frame] = field(default_factory=deque)
    is_open: bool = True
    space: Event | None = None
    """Without it, there is always room."""

    @property
    def has_room(self) -> bool:
        return self.space is None

    async def room(self) -> None:
        if self.space is not None:
            await self.space.wait()

    def answer(self, _document: object) -> None:
        pass

    def send(self, kind: Kind, argument: int = 0, body: Buffer = b"", flags: Flag = NO_FLAGS) -> None:
        self.sent.append(Frame(kind, 0, argument, body, flags))

    async def receive(self) -> Frame | None:
        return self.inbox.popleft() if self.inbox else None

    def received_now(self) -> Frame | None:
        return None

    def widen(self, _size_bytes: int) -> None:
        pass

    def consumed(self, _frame: Frame) -> None:
        pass

    def violated(self, fault: LinkError) -> LinkError:
        return fault

    def kinds(self) -> list[Kind]:
        return [frame.kind for frame in self.sent]


class Primary:
    """A primary with one volume, whose stream nobody answers."""

    def __init__(self) -> None:
        self.world = World(5)
        self.array = SimulatedArray(self.world, Network(self.world), "one")
        self.pool, self.environment = self.array.pool, self.array.environment
        self.volume: Volume = self.pool.create_volume("v", 100, {})
        self.other: Volume = self.pool.create_volume("other", 100, {})
        self.wire = Wire()
        self.failures: list[Exception] = []
        first_osn = self.pool.commit()
        exchange: Any = self.wire
        self.sender = StreamSender(self.pool, self.environment, exchange, [self.volume.identity], first_osn, None, lambda: None)

    def start(self) -> None:
        self.environment.start_soon(self._run)
        self.world.advance(1.0)

    async def _run(self) -> None:
        try:
            await self.sender.run()
        except (LinkError, StoreError) as error:
            self.failures.append(error)

    def write(self, volume: Volume, block: int, data: bytes) -> None:
        volume.write(block, [data])
        self.pool.commit()
        self.world.advance(1.0)


def test_the_answer_to_complete_acknowledges_no_later_change() -> None:
    primary = Primary()
    primary.start()
    assert primary.wire.kinds() == [Kind.COMPLETE]
    primary.write(primary.volume, 7, NEW)
    assert primary.wire.kinds() == [Kind.COMPLETE, Kind.SHIP]
    primary.sender.completed(primary.wire.sent[0].argument)
    assert primary.sender.is_complete
    assert primary.sender.peer_osn < primary.pool.committed_osn - 1
    primary.sender.acknowledged(primary.wire.sent[1].argument)
    assert primary.sender.peer_osn == primary.pool.committed_osn - 1
    primary.sender.close()


def test_a_frozen_map_that_is_released_while_it_is_shipped_ends_no_stream() -> None:
    primary = Primary()
    primary.write(primary.volume, 3, OLD)
    frozen = primary.volume.freeze()
    primary.pool.commit()
    sender = primary.sender
    frozen.release()
    primary.write(primary.volume, 3, NEW)
    primary.world.run(primary.environment, sender._add_range(Range(0, 3, 2, frozen, 3), 1), limit_s=10.0)
    assert [(each.kind, each.block, bytes(each.data)) for each in sender._items] == [
        (ItemKind.WRITE, 3, NEW),
        (ItemKind.UNMAP, 4, b""),
    ]
    assert sender._reach_osn == primary.pool.committed_osn - 1


def test_a_volume_that_shrinks_while_it_is_read_is_shipped_up_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    primary = Primary()
    for block in range(60, 90):
        primary.volume.write(block, [OLD])
    primary.pool.commit()
    read = type(primary.volume).read

    async def shrink(self: Any, block: int, count_blocks: int) -> list[Buffer]:
        if self.size_blocks == 100:
            self.resize(70)
            raise StoreError("beyond the end")
        found: list[Buffer] = await read(self, block, count_blocks)
        return found

    monkeypatch.setattr(type(primary.volume), "read", shrink)
    primary.world.run(primary.environment, primary.sender._add_range(Range(0, 50, 50), 1), limit_s=10.0)
    assert [(each.kind, each.block, each.count_blocks) for each in primary.sender._items] == [
        (ItemKind.UNMAP, 50, 10),
        (ItemKind.WRITE, 60, 10),
    ]


def test_a_stream_that_is_closed_reads_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    primary = Primary()

    async def unreadable(*_: object) -> Sequence[Buffer]:
        raise StoreError("not now")

    primary.write(primary.volume, 3, OLD)
    monkeypatch.setattr(type(primary.volume), "read", unreadable)
    task = primary.environment.spawn(primary.sender._add_range(Range(0, 3, 1), 1))
    primary.world.advance(1.0)
    assert not task.done
    primary.sender.close()
    primary.world.advance(1.0)
    assert isinstance(task.error, ChannelEnded)


def test_a_resync_whose_exchange_has_ended_reads_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    primary = Primary()

    async def unreadable(*_: object) -> AsyncIterator[object]:
        raise StoreError("not now")
        yield

    async def read_all() -> None:
        exchange: Any = primary.wire
        async for _ in whole_content(exchange, primary.pool, primary.environment, [primary.volume]):
            pass

    monkeypatch.setattr(type(primary.pool), "changed_ranges", unreadable)
    task = primary.environment.spawn(read_all())
    primary.world.advance(1.0)
    assert not task.done
    primary.wire.is_open = False
    primary.world.advance(1.0)
    assert isinstance(task.error, ChannelEnded)
    primary.sender.close()


class Secondary:
    """The other member, with one volume."""

    def __init__(self) -> None:
        self.world = World(6)
        self.array = SimulatedArray(self.world, Network(self.world), "other")
        self.pool, self.environment = self.array.pool, self.array.environment
        self.volume: Volume = self.pool.create_volume("v", 100, {})
        self.relog = Relog(self.pool, self.environment, [self.volume], lambda: True)
        records = GroupRecords(self.pool, "g")
        settings = GroupSettings("g", bytes(16), bytes(16), (self.volume.identity,), 20.0)
        self.preparation = Preparation(self.pool, records, GroupVolumes(self.pool, records, Anchors(self.pool, "g"), settings))
        self.wire = Wire()
        self.kept: list[StreamPosition] = []

    def take(self, frames: Sequence[Frame], start_osn: int) -> None:
        self.wire.inbox.extend(frames)
        self.world.run(self.environment, self.receiver(start_osn).run())

    def receiver(self, start_osn: int) -> StreamReceiver:
        exchange: Any = self.wire
        return StreamReceiver(
            self.pool,
            self.environment,
            GroupRecords(self.pool, "g"),
            exchange,
            self.relog,
            self.preparation,
            [self.volume],
            StreamPosition(LOG, start_osn, start_osn),
            self.kept.append,
            lambda _: None,
            is_resync=False,
        )

    def apply(self, *items: Item) -> None:
        for item in items:
            self.world.run(self.environment, self.relog.apply(item))
        self.pool.commit()

    def block(self, block: int) -> bytes:
        return b"".join(self.world.run(self.environment, self.volume.read(block, 1)))


def test_commits_without_changes_of_the_group_are_not_missing_after_complete() -> None:
    primary, secondary = Primary(), Secondary()
    primary.write(primary.volume, 7, OLD)
    primary.write(primary.other, 7, OTHER)
    first_osn = primary.sender.scanned_osn
    primary.sender._complete_osn = primary.pool.committed_osn - 1
    primary.start()
    assert primary.wire.kinds() == [Kind.SHIP, Kind.COMPLETE]
    primary.write(primary.volume, 8, NEW)
    secondary.take(primary.wire.sent, first_osn)
    assert [secondary.block(7), secondary.block(8)] == [OLD, NEW]
    assert secondary.wire.kinds() == [Kind.SHIPPED, Kind.COMPLETE, Kind.SHIPPED]
    assert secondary.kept[-1].osn == primary.pool.committed_osn - 1
    primary.sender.close()


def test_a_primary_that_reads_no_answers_gets_no_more_than_there_is_room_for() -> None:
    primary, secondary = Primary(), Secondary()
    primary.start()
    primary.write(primary.volume, 7, OLD)
    secondary.wire.inbox.extend(primary.wire.sent)
    space = secondary.wire.space = secondary.environment.event()
    task = secondary.environment.spawn(secondary.receiver(primary.wire.sent[0].argument).run())
    secondary.world.advance(1.0)
    assert secondary.wire.sent == []
    assert not task.done
    space.set()
    secondary.world.advance(1.0)
    assert secondary.wire.kinds() == [Kind.COMPLETE, Kind.SHIPPED]
    assert task.done
    primary.sender.close()


def test_a_restore_that_is_repeated_replaces_repeated_writes_again() -> None:
    secondary = Secondary()
    write = Item(ItemKind.WRITE, 0, 5, 1, data=OLD)
    secondary.apply(Item(ItemKind.WRITE, 0, 5, 1, data=NEW))
    snapshot = secondary.volume.snapshot("s")
    restore = restored(0, snapshot.guid, bytes(range(16)))
    secondary.apply(write, restore)
    secondary.apply(write, restore)
    assert secondary.block(5) == NEW
    assert secondary.volume.lineage == bytes(range(16))
