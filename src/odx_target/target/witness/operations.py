"""The requests of the operator of a witness: its paths, and the groups for which it decides."""

from collections.abc import Mapping

from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.describe import Data
from odx_target.target.control.groups.operations import GROUP_OPERATIONS
from odx_target.target.control.operation import Operation, performed
from odx_target.target.control.paths import PATH_OPERATIONS
from odx_target.target.witness.witness import WitnessArray

OF_WITNESS = ("groups", "group-delete")

OPERATIONS: dict[str, Operation] = {
    each.name: each for each in (*PATH_OPERATIONS, *(each for each in GROUP_OPERATIONS if each.name in OF_WITNESS))
}
"""The operations of a witness. It has no LUNs, so there are no others."""


async def perform(witness: WitnessArray, name: str, given: Mapping[str, object]) -> Data:
    """Perform the operation `name` with the arguments `given`. Raises ManagementError."""
    operation = OPERATIONS.get(name)
    if operation is None:
        raise ManagementError(f"a witness has no operation {name!r}; it has {', '.join(OPERATIONS)}", is_usage=True)
    return await performed(operation, witness, given)
