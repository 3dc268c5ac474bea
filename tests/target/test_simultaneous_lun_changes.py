"""Several changes of LUNs at the same time: a number is given once, a unit keeps the size of its LUN, and one LUN remains."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from odx_target.store.api import PoolBusy
from odx_target.store.volumes.volume import LogVolume
from odx_target.target.array import Array
from tests.target.running import running
from tests.target.test_storage_operations import MIB, do, refused


@pytest.fixture
def stopped_clock() -> MockClock:
    """A clock that stands still, so that a change waits for the commands of hosts until the test ends them."""
    return MockClock()


@asynccontextmanager
async def waiting(array: Array, number: int, operation: str, **arguments: object) -> AsyncIterator[None]:
    """Begin a change of a LUN that waits for commands of hosts during the block, and has ended after the block."""
    begun, release = trio.Event(), trio.Event()

    async def running_ended(_store_block: int) -> None:
        if not begun.is_set():
            begun.set()
            await release.wait()

    async def change() -> None:
        await do(array, operation, **arguments)

    array.logical_units[number].tasks.running_ended = running_ended  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        await begun.wait()
        yield
        release.set()


@asynccontextmanager
async def waiting_for_room(owner: object, method: str, change: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Begin a change whose first call of a method finds the pool busy.

    The change waits for room during the block, and has ended after the block.
    """
    begun, release = trio.Event(), trio.Event()

    def busy(*_: object, **__: object) -> None:
        patch.undo()
        patch.setattr(LogVolume, "room_made", room_made)
        raise PoolBusy("busy")

    async def room_made(_volume: LogVolume) -> None:
        begun.set()
        await release.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, method, busy)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(change)
            await begun.wait()
            yield
            release.set()


def served(array: Array) -> dict[int, str]:
    return {number: unit.volume.name for number, unit in array.logical_units.items()}


def numbers(array: Array) -> dict[str, str | None]:
    return {name: volume.attributes.get("lun") for name, volume in array.pool.volumes.items()}


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("volume-create", {"volume": "new=1M", "lun": True}),
        ("add-lun", {"lun": "new=1M"}),
        ("lun-add", {"name": "new"}),
        ("clone", {"origin": "first", "name": "new", "lun": True}),
    ],
)
async def test_a_number_is_given_again_only_after_its_lun_is_gone(
    stopped_clock: MockClock, operation: str, arguments: dict[str, object]
) -> None:
    async with running() as array:
        if operation == "lun-add":
            await do(array, "volume-create", volume="new=1M")
        async with waiting(array, 1, "lun-remove", name="second"):
            await do(array, operation, **arguments)
            assert served(array) == {0: "first", 1: "second", 2: "new"}
        assert served(array) == {0: "first", 2: "new"}
        assert numbers(array) == {"first": "0", "second": None, "new": "2"}


async def test_the_number_of_a_lun_that_is_being_removed_cannot_be_chosen(stopped_clock: MockClock) -> None:
    async with running() as array:
        await do(array, "volume-create", volume="new=1M")
        async with waiting(array, 1, "lun-remove", name="second"):
            assert await refused(array, "lun-add", name="new", number=1) == "LUN 1 is being removed"
            assert await refused(array, "lun-renumber", name="first", number=1) == "LUN 1 is being removed"
        await do(array, "lun-add", name="new", number=1)
        assert served(array) == {0: "first", 1: "new"}


async def test_the_removal_of_a_unit_leaves_another_unit_that_has_its_number() -> None:
    async with running() as array:
        former, other = array.logical_units[1], array.logical_units[0]
        array.logical_units[1] = other
        await array.lun_changes.remove(former)
        assert array.logical_units[1] is other
        assert former not in array.copy_manager.copies.logical_units


@pytest.mark.parametrize("size", [MIB // 2, MIB - 512])
async def test_a_lun_is_not_changed_otherwise_while_it_shrinks(stopped_clock: MockClock, size: int) -> None:
    async with running() as array:
        async with waiting(array, 0, "volume-resize", name="first", size=size, shrink=True):
            for operation, arguments in (
                ("lun-renumber", {"number": 5}),
                ("lun-remove", {}),
                ("volume-resize", {"size": 2 * MIB}),
                ("volume-delete", {"force": True}),
            ):
                assert "another request" in await refused(array, operation, name="first", **arguments), operation  # type: ignore[arg-type]
            await do(array, "volume-resize", name="second", size=2 * MIB)
        await do(array, "lun-renumber", name="first", number=5)
        assert array.logical_units[5].capacity_blocks == size // 512


async def test_a_volume_does_not_become_a_lun_while_it_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release = trio.Event(), trio.Event()
    load = LogVolume.load

    async def slow(volume: LogVolume, block: int, count: int) -> None:
        begun.set()
        await release.wait()
        await load(volume, block, count)

    async with running() as array:
        await do(array, "volume-create", volume="hidden=1M")
        monkeypatch.setattr(LogVolume, "load", slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: do(array, "volume-resize", name="hidden", size=MIB // 2, shrink=True))
            await begun.wait()
            assert "another request" in await refused(array, "lun-add", name="hidden")
            release.set()
        await do(array, "lun-add", name="hidden")
        assert array.logical_units[2].capacity_blocks == MIB // 2 // 512


@pytest.mark.parametrize("name", ["first", "hidden"])
@pytest.mark.parametrize("is_late", [False, True])
async def test_a_lun_that_grows_waits_until_the_pool_has_made_room(name: str, is_late: bool) -> None:
    """The pool may be busy when the volume grows, and also when the new size is stored after that."""
    async with running() as array:
        await do(array, "volume-create", volume="hidden=1M")
        owner, method = (array.pool, "remember") if is_late else (LogVolume, "resize")
        async with waiting_for_room(owner, method, lambda: do(array, "volume-resize", name=name, size=2 * MIB)):
            for operation, arguments in (("volume-delete", {"force": True}), ("volume-resize", {"size": 3 * MIB})):
                assert "another request" in await refused(array, operation, name=name, **arguments)  # type: ignore[arg-type]
            assert array.logical_units[0].capacity_blocks == MIB // 512
        if name == "hidden":
            await do(array, "lun-add", name=name)
        assert array.logical_units[0 if name == "first" else 2].capacity_blocks == 2 * MIB // 512


async def test_a_lun_that_grows_may_get_another_name_and_number_meanwhile() -> None:
    """A reload of the settings does not reserve the LUN."""
    grown = []

    async def grow() -> None:
        grown.append(await array.resize_lun("first", 2 * MIB))

    async with running() as array:
        async with waiting_for_room(LogVolume, "resize", grow):
            await do(array, "volume-rename", name="first", new_name="other")
            await do(array, "lun-renumber", name="other", number=7)
        assert grown == [True]
        assert array.logical_units[7].capacity_blocks == 2 * MIB // 512


async def test_a_volume_does_not_become_a_lun_while_its_restore_waits_for_room() -> None:
    async with running() as array:
        await do(array, "volume-create", volume="hidden=1M")
        await do(array, "snapshot-create", snapshots=["hidden@s"])
        await do(array, "volume-resize", name="hidden", size=2 * MIB)
        async with waiting_for_room(LogVolume, "restore", lambda: do(array, "snapshot-restore", snapshot="hidden@s")):
            assert "another request" in await refused(array, "lun-add", name="hidden")
        await do(array, "lun-add", name="hidden")
        assert array.logical_units[2].capacity_blocks == MIB // 512


@pytest.mark.parametrize(("operation", "arguments"), [("lun-remove", {}), ("volume-delete", {"force": True})])
async def test_two_removals_at_the_same_time_leave_one_lun(
    stopped_clock: MockClock, operation: str, arguments: dict[str, object]
) -> None:
    async with running() as array:
        async with waiting(array, 0, operation, name="first", **arguments):
            for other, its_arguments in (("lun-remove", {}), ("volume-delete", {"force": True})):
                said = await refused(array, other, name="second", **its_arguments)  # type: ignore[arg-type]
                assert said == "volume second is the only LUN of the array that no other request is changing: try again later"
        assert served(array) == {1: "second"}
        assert numbers(array)["second"] == "1"
        said = await refused(array, operation, name="second", **arguments)
        assert said == "volume second is the only LUN of the array"
        await do(array, "volume-create", volume="third=1M", lun=True)
        await do(array, operation, name="second", **arguments)
        assert served(array) == {2: "third"}


async def test_other_luns_may_be_removed_while_one_is(stopped_clock: MockClock) -> None:
    async with running() as array:
        await do(array, "volume-create", volume="third=1M", lun=True)
        async with waiting(array, 0, "lun-remove", name="first"):
            await do(array, "lun-remove", name="second")
            assert "only LUN" in await refused(array, "lun-remove", name="third")
        assert served(array) == {2: "third"}
