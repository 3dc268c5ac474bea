"""A management operation. The arguments of an operation are checked before its function is called."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from odx_target.replica.link.errors import LinkError
from odx_target.store.api import StoreError
from odx_target.target.config.error import ConfigError
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.describe import Data


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: its name, the function that performs it, and its arguments.

    The first argument of the function is the array or the storage. `arguments` lists the other arguments. `is_recorded` is True
    if hosts can see the effect of the operation, so that a recorded session contains it. An operation with secret arguments is
    never recorded.
    """

    name: str
    perform: Callable[..., Awaitable[Data]]
    arguments: tuple[Argument, ...] = ()
    is_recorded: bool = False

    @property
    def result(self) -> object:
        """The TypedDict that the function returns. It describes the result of the operation."""
        return self.perform.__annotations__["return"]


async def performed(operation: Operation, subject: object, given: Mapping[str, object]) -> Data:
    """Perform an operation on an array or a storage with the arguments `given`. Raises ManagementError."""
    values = checked_arguments(operation, given)
    try:
        return await operation.perform(subject, **values)
    except (ConfigError, LinkError, StoreError) as error:
        raise ManagementError(str(error)) from error


def checked_arguments(operation: Operation, given: Mapping[str, object]) -> dict[str, Any]:
    """Check and convert the arguments of an operation. Raises ManagementError."""
    known = {argument.name: argument for argument in operation.arguments}
    for name in given:
        if name not in known:
            raise ManagementError(f"{operation.name} has no argument {name!r}", is_usage=True)
    values = {}
    for name, argument in known.items():
        if argument.is_required and name not in given:
            raise ManagementError(f"{operation.name} needs the argument {name!r}: {argument.description}", is_usage=True)
        try:
            values[name] = argument.parse(given[name]) if name in given else argument.default
        except ConfigError as error:
            raise ManagementError(str(error), is_usage=True) from error
    return values
