"""Requests of operators to a served array. Their modules are loaded with the first request, or a moment after the start."""

from collections.abc import Mapping

from odx_target.target.array import Array


async def perform(array: Array, name: str, given: Mapping[str, object]) -> Mapping[str, object]:
    """Perform an operation; see `perform` in `target/control/operations.py`. Raises ManagementError."""
    from odx_target.target.control import operations

    return await operations.perform(array, name, given)
