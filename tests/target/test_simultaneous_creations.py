"""Volumes and clones that are created while other requests change LUNs: numbers stay reserved, and new LUNs are not changed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from odx_target.store.api import PoolBusy, PoolFull
from odx_target.store.volumes.volume import LogVolume
from odx_target.target.array import Array
from tests.target.running import running
from tests.target.test_simultaneous_lun_changes import numbers, served
from tests.target.test_storage_operations import MIB, do, refused, row


@asynccontextmanager
async def waiting_for_room(
    array: Array, monkeypatch: pytest.MonkeyPatch, operation: str, **arguments: object
) -> AsyncIterator[None]:
    """Begin a creation of volumes. During the block, it waits for room of the pool, before it makes the last volume."""
    begun, release, create_volume = trio.Event(), trio.Event(), array.pool.create_volume

    def create(name: str, *others: Any) -> object:
        if name.endswith("last") and not release.is_set():
            raise PoolBusy("busy")
        return create_volume(name, *others)

    async def room_made(_volume: LogVolume) -> None:
        begun.set()
        await release.wait()

    async def perform() -> None:
        await do(array, operation, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(array.pool, "create_volume", create)
        patch.setattr(LogVolume, "room_made", room_made)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(perform)
            await begun.wait()
            yield
            release.set()


@asynccontextmanager
async def waiting_for_the_disk(array: Array, operation: str, **arguments: object) -> AsyncIterator[None]:
    """Begin a creation of volumes. During the block, all volumes have been made, and the creation waits for the disk."""
    begun, release, make_durable = trio.Event(), trio.Event(), array.make_durable

    async def slow() -> None:
        begun.set()
        await release.wait()
        await make_durable()

    async def perform() -> None:
        await do(array, operation, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array, "make_durable", slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(perform)
            await begun.wait()
            patch.undo()
            yield
            release.set()


async def check_not_changed_otherwise(array: Array, name: str) -> None:
    """Check that no other request can change the LUN of a volume, or delete the volume."""
    for operation, arguments in (
        ("volume-delete", {"force": False}),
        ("volume-delete", {"force": True}),
        ("volume-resize", {"size": 2 * MIB}),
        ("lun-renumber", {"number": 9}),
        ("lun-remove", {}),
    ):
        said = await refused(array, operation, name=name, **arguments)  # type: ignore[arg-type]
        assert said == f"another request is changing the LUN of volume {name}: try again later", operation


@pytest.mark.parametrize(
    ("operation", "arguments", "names"),
    [
        ("volume-create", {"volume": "new=1M", "lun": True}, ["new"]),
        ("add-lun", {"lun": "new=1M"}, ["new"]),
        ("clone", {"origin": "first", "name": "new", "count": 3, "lun": True}, ["new-1", "new-2", "new-3"]),
    ],
)
async def test_a_new_lun_is_not_changed_otherwise_before_hosts_can_use_it(
    operation: str, arguments: dict[str, object], names: list[str]
) -> None:
    async with running() as array:
        async with waiting_for_the_disk(array, operation, **arguments):
            for name in names:
                await check_not_changed_otherwise(array, name)
        assert served(array) == dict(enumerate(["first", "second", *names]))
        for name in names:
            await do(array, "volume-delete", name=name, force=True)
        assert served(array) == {0: "first", 1: "second"}


async def test_a_clone_is_not_changed_otherwise_while_further_clones_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array:
        monkeypatch.setattr("odx_target.target.control.storage.volumes.clone_names", lambda *_: ["one", "two", "last"])
        async with waiting_for_room(array, monkeypatch, "clone", origin="first", name="new", count=3, lun=True):
            for name in ("one", "two"):
                await check_not_changed_otherwise(array, name)
        assert served(array) == dict(enumerate(["first", "second", "one", "two", "last"]))


async def test_the_names_of_clones_that_cannot_be_made_are_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array:
        create_volume = array.pool.create_volume

        def create(name: str, *others: Any) -> object:
            if name == "copy-2":
                raise PoolFull("the pool is full")
            return create_volume(name, *others)

        with monkeypatch.context() as patch:
            patch.setattr(array.pool, "create_volume", create)
            assert await refused(array, "clone", origin="first", name="copy", count=3, lun=True) == "the pool is full"
        assert numbers(array) == {"first": "0", "second": "1"}
        await do(array, "clone", origin="first", name="copy", count=3, lun=True)
        await do(array, "volume-delete", name="copy-1", force=True)
        assert served(array) == {0: "first", 1: "second", 3: "copy-2", 4: "copy-3"}


async def test_two_volumes_that_are_created_at_the_same_time_get_two_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array:
        async with waiting_for_room(array, monkeypatch, "volume-create", volume="last=1M", lun=True):
            await do(array, "volume-create", volume="new=1M", lun=True)
        assert served(array) == {0: "first", 1: "second", 2: "new", 3: "last"}
        assert numbers(array) == {"first": "0", "second": "1", "new": "2", "last": "3"}


async def test_the_numbers_of_clones_are_reserved_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array:
        async with waiting_for_room(array, monkeypatch, "clone", origin="first", name="last", lun=True):
            await do(array, "volume-create", volume="new=1M", lun=True)
            await do(array, "volume-create", volume="hidden=1M")
            for operation, name in (("lun-add", "hidden"), ("lun-renumber", "first")):
                said = await refused(array, operation, name=name, number=2)
                assert said == "LUN 2 is for a volume that another request is creating"
        assert served(array) == {0: "first", 1: "second", 2: "last", 3: "new"}
        await do(array, "lun-remove", name="last")
        await do(array, "lun-add", name="hidden", number=2)
        assert numbers(array) == {"first": "0", "second": "1", "new": "3", "hidden": "2", "last": None}


async def test_the_numbers_of_clones_that_cannot_be_made_are_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array:

        def refuse(*_: object) -> None:
            raise PoolFull("the pool is full")

        with monkeypatch.context() as patch:
            patch.setattr(array.pool, "create_volume", refuse)
            assert await refused(array, "clone", origin="first", name="copy", count=3, lun=True) == "the pool is full"
        made = await do(array, "clone", origin="first", name="copy", lun=True)
        assert row(made, "volumes")["lun"] == 2
