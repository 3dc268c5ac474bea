"""Checks of what operators ask of groups, and the refusals of groups as lines for operators."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from odx_target.replica.grouping.copies import GROUP_ATTRIBUTE
from odx_target.replica.grouping.founding import GroupVolume
from odx_target.replica.sync.group_states import ChangeRefused, NotServing
from odx_target.store.api import Volume
from odx_target.target.config.path_settings import parse_path_name
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.logical_units import LUN_ATTRIBUTE, block_bytes_of
from odx_target.target.lun_size import size_bytes_of
from odx_target.target.sanitized_luns import has_old_data

if TYPE_CHECKING:
    from odx_target.target.array import Array

GROUP_NAME = Argument("name", "the name of the group", parse_path_name)


@contextmanager
def one_line() -> Iterator[None]:
    """Turn what a group refuses into the refusal of the operation."""
    try:
        yield
    except (NotServing, ChangeRefused) as error:
        raise ManagementError(str(error)) from error


def check_volume(array: "Array", volume: Volume) -> None:
    """Check that a volume can be in a group. Raises ConfigError and ManagementError."""
    if reason := _refusal(array, volume):
        raise ManagementError(reason)
    if array.pool.public_identity(volume) != volume.identity:
        raise ManagementError(
            f"volume {volume.name} is in a pool whose identities were renewed, so the other array cannot make a volume "
            "that hosts take for the same disk: copy its content to a volume of a new pool"
        )
    if array.pool.bases.is_base(volume):
        raise ManagementError(f"volume {volume.name} has the fetched blocks of an import")
    if array.imports is not None and array.imports.importer_of(volume) is not None:
        raise ManagementError(f"volume {volume.name} is being imported: wait for its end")
    if GROUP_ATTRIBUTE in volume.attributes:
        raise ManagementError(f"volume {volume.name} was made for a group of another array")


def _refusal(array: "Array", volume: Volume) -> str:
    """Return the reason why hosts use a volume in a way that a group does not allow, or an empty text.

    A format or a sanitize operation goes on in the background, and would change the volume after a takeover too.
    """
    unit = array.lun_changes.of_volume(volume)
    if unit is not None and unit.format_operation is not None:
        return f"volume {volume.name} is being formatted, or was not formatted completely: format it before"
    if has_old_data(array.pool, volume):
        return f"volume {volume.name} is being sanitized or has failed to be sanitized"
    return ""


def group_volume(array: "Array", volume: Volume, number: int | None) -> GroupVolume:
    """Return a volume as a group gets it. `number` is that of its LUN at the other member; None: as here."""
    own = volume.attributes.get(LUN_ATTRIBUTE)
    lun = number if number is not None or own is None else int(own)
    sizes = size_bytes_of(volume, array.pool), block_bytes_of(volume.attributes)
    return GroupVolume(volume, *sizes, lun, partial(_refusal, array, volume))
