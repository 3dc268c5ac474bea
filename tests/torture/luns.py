"""The steps of an operator that change names, LUNs, write protection, compression, tiers and holds, by operations of
management.
"""

from collections.abc import Awaitable, Callable

from odx_target.store.api import NameTaken, OverLimit, PoolFailed
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.storage import luns, snapshots, volumes
from tests.sim.simulated_disk import Crash
from tests.torture.array import NO_ROOM
from tests.torture.management import COMPRESSIONS, picked, source_is_replaced
from tests.torture.model import Settings
from tests.torture.run import Difference, Run


def rename_volume(run: Run, lun: int, name: int) -> None:
    _set(run, lun, lambda before: before._replace(name=f"v{name}"), _rename)


def set_compression(run: Run, lun: int, compression: int) -> None:
    choice = COMPRESSIONS[compression]
    _set(run, lun, lambda before: before._replace(compression=choice), _compress)


def set_tier(run: Run, lun: int, is_capacity: int) -> None:
    """Choose the tier of a volume. Does nothing if the pool has no capacity tier."""
    if run.setup.has_capacity:
        tier = "capacity" if is_capacity else "fast"
        _set(run, lun, lambda before: before._replace(tier=tier), _choose_tier)


def set_read_only(run: Run, lun: int, is_read_only: int) -> None:
    run.disturb(f"v{lun}")
    _set(run, lun, lambda before: before._replace(is_read_only=bool(is_read_only)), _protect)


def remove_lun(run: Run, lun: int) -> None:
    if run.lun(lun) is None or len(run.array.logical_units) < 2:
        return
    _end_of_lun(run, lun)
    if _set(run, lun, lambda before: before._replace(lun=None), _remove) and run.array.is_served(f"v{lun}"):
        raise Difference("a LUN that was removed is still there")
    _wait(run, lun)


def add_lun(run: Run, lun: int, number: int) -> None:
    """Make a volume a LUN. The number -1 means the next free number."""
    volume = run.now.volumes.get(f"v{lun}")
    if volume is None or volume.settings.lun is not None:
        return
    wanted = run.array.new_number() if number < 0 else number
    if _set(run, lun, lambda before: before._replace(lun=wanted), _add if number >= 0 else _add_next):
        _check_served(run, lun)


def renumber_lun(run: Run, lun: int, number: int) -> None:
    if run.lun(lun) is None:
        return
    _end_of_lun(run, lun)
    if _set(run, lun, lambda before: before._replace(lun=number), _renumber):
        _check_served(run, lun)
    _wait(run, lun)


Operation = Callable[[Run, str, Settings], Awaitable[object]]
"""Function that begins an operation of management. Its arguments are the name of a volume and the new settings."""


def _rename(run: Run, name: str, after: Settings) -> Awaitable[object]:
    return volumes.rename(run.array.storage, name, after.name)


def _compress(run: Run, name: str, after: Settings) -> Awaitable[object]:
    return volumes.set_values(run.array.storage, name, after.compression, None)


def _choose_tier(run: Run, name: str, after: Settings) -> Awaitable[object]:
    return volumes.set_values(run.array.storage, name, None, after.tier)


def _protect(run: Run, name: str, after: Settings) -> Awaitable[object]:
    return luns.set_read_only(run.array.storage, name, read_only=after.is_read_only)


def _remove(run: Run, name: str, _after: Settings) -> Awaitable[object]:
    return luns.remove(run.array.storage, name)


def _add(run: Run, name: str, after: Settings) -> Awaitable[object]:
    return luns.add(run.array.storage, name, after.lun)


def _add_next(run: Run, name: str, _after: Settings) -> Awaitable[object]:
    return luns.add(run.array.storage, name, None)


def _renumber(run: Run, name: str, after: Settings) -> Awaitable[object]:
    assert after.lun is not None
    return luns.renumber(run.array.storage, name, after.lun)


def _set(run: Run, lun: int, change: Callable[[Settings], Settings], operation: Operation) -> bool:
    """Change the settings of a volume. Returns False if that was refused, because another volume has the name or the number,
    or has failed.
    """
    slot = f"v{lun}"
    volume = run.now.volumes.get(slot)
    if volume is None:
        return False
    after = change(volume.settings)
    others = [each.settings for key, each in run.now.volumes.items() if key != slot]
    is_taken = any(each.name == after.name or (each.lun is not None and each.lun == after.lun) for each in others)
    try:
        name = volume.settings.name
        done = run.operate(slot, lambda: operation(run, name, after), volume._replace(settings=after))
    except (NameTaken, ManagementError) as error:
        if not is_taken:
            raise Difference(f"an operation was refused: {error}") from error
        return False
    if done and is_taken:
        raise Difference(f"two volumes have the settings {after}")
    return done


def _end_of_lun(run: Run, lun: int) -> None:
    run.disturb(f"v{lun}")
    source_is_replaced(run, f"v{lun}")


def _wait(run: Run, lun: int) -> None:
    """Wait for the commands whose LUN has changed."""
    if f"v{lun}" in run.now.volumes:
        run.wait_for_cells(f"v{lun}")


def _check_served(run: Run, lun: int) -> None:
    if not run.array.is_served(f"v{lun}"):
        raise Difference("hosts cannot use a LUN that was added or has another number")


def hold(run: Run, pick: int, owner: int) -> None:
    _change_holds(run, pick, f"owner {owner}", is_added=True)


def unhold(run: Run, pick: int, owner: int) -> None:
    _change_holds(run, pick, f"owner {owner}", is_added=False)


def _change_holds(run: Run, pick: int, owner: str, *, is_added: bool) -> None:
    found = picked(run, pick)
    if found is None or (not is_added and owner not in run.now.snapshots[found.guid].holds):
        return
    guid = found.guid
    before = run.now.snapshots[guid]
    others = tuple(each for each in before.holds if each != owner)
    after = before._replace(holds=before.holds if is_added and owner in before.holds else (*others, *[owner] * is_added))
    operation = (snapshots.hold if is_added else snapshots.unhold)(run.array.storage, guid.hex(), owner)
    try:
        run.array.run(operation)
    except (Crash, *NO_ROOM, PoolFailed, OverLimit) as error:
        run.now.snapshots[guid] = after
        run.mark()
        if isinstance(error, Crash):
            raise
        run.now.snapshots[guid] = before._replace(holds=tuple(found.holds))
        if tuple(found.holds) not in (before.holds, after.holds):
            raise Difference(f"a hold that failed has left {found.holds}") from error
    else:
        run.now.snapshots[guid] = after
        if tuple(found.holds) != after.holds:
            raise Difference(f"a snapshot has the holds {found.holds}, not {after.holds}")
    run.mark()
    run.acknowledge()


Run.ACTIONS.update(
    rename_volume=rename_volume,
    set_compression=set_compression,
    set_tier=set_tier,
    set_read_only=set_read_only,
    remove_lun=remove_lun,
    add_lun=add_lun,
    renumber_lun=renumber_lun,
    hold=hold,
    unhold=unhold,
)
