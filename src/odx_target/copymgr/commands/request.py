"""A POPULATE TOKEN or WRITE USING TOKEN command with its decoded parameter list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from odx_target.copymgr.commands.list_identifiers import require_free
from odx_target.copymgr.commands.parameter_lists import RANGE_DESCRIPTOR_BYTES, ListShape, Range
from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.rod_types import RodTypes
from odx_target.scsi.sense import PARAMETER_LIST_LENGTH_ERROR
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit


class ParameterList(Protocol):
    """The fields that both parameter lists have."""

    @property
    def data_length(self) -> int: ...

    @property
    def flags(self) -> int: ...

    @property
    def range_descriptor_length(self) -> int: ...

    @property
    def ranges(self) -> Sequence[Range]: ...


Parameters = TypeVar("Parameters", bound=ParameterList, covariant=True)


@dataclass(slots=True, frozen=True)
class Request(Generic[Parameters]):
    """A command that has to be checked.

    `is_own_pool` is True if the logical unit's blocks are in the pool of this copy manager. `rod_types` are the types of its
    tokens.
    """

    parameters: Parameters
    shape: ListShape
    limits: CopyLimits
    logical_unit: LogicalUnit
    is_own_pool: bool
    rod_types: RodTypes

    @property
    def total_blocks(self) -> int:
        return sum(count_blocks for _, count_blocks in self.parameters.ranges)

    def field_of(self, index: int) -> int:
        """Return the byte offset of the range descriptor with number `index` in the parameter list."""
        return self.shape.header_bytes + index * RANGE_DESCRIPTOR_BYTES


def read_request(
    copies: Copies,
    task: Task,
    list_identifier: int,
    list_bytes: int,
    shape: ListShape,
    decode: Callable[[bytes], Parameters],
) -> Request[Parameters]:
    """Decode the parameter list of a command. `list_identifier` and `list_bytes` are values of the CDB.

    Raises Refusal if the parameter list is too short, or if the list identifier is in use.
    """
    data = received_list(task, list_bytes)
    check_list_length(shape.header_bytes, len(data))
    require_free(copies, task, list_identifier)
    unit = task.logical_unit
    return Request(decode(data), shape, copies.limits, unit, copies.holds_blocks_of(unit), copies.options.rod_types)


def received_list(task: Task, length_bytes: int) -> bytes:
    """Return the first `length_bytes` bytes of a task's parameter list. Raises Refusal if fewer bytes arrived."""
    data = b"".join(task.data_out)[:length_bytes]
    if len(data) < length_bytes:
        raise Refusal(
            PARAMETER_LIST_LENGTH_ERROR,
            transfer_bytes=length_bytes,
            rule="fewer bytes arrived than the CDB demands",
            field="PARAMETER LIST LENGTH",
            value=length_bytes,
            limit="bytes received",
            allowed=len(data),
        )
    return data


def check_list_length(header_bytes: int, size_bytes: int) -> None:
    """Raise Refusal if the parameter list ends within its header."""
    if size_bytes < header_bytes:
        raise Refusal(
            PARAMETER_LIST_LENGTH_ERROR,
            rule="the parameter list ends within its header",
            field="PARAMETER LIST LENGTH",
            value=size_bytes,
        )
