"""The interface between an array and the source of its inputs, if the inputs pass one at a time."""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import trio

from odx_target.environment import Buffer
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.config.settings import Config, Portal
from odx_target.target.listening_sockets import Listening
from odx_target.target.schedules.commands import Commands

Admit: TypeAlias = Callable[[socket.socket, Portal], None]
"""Function of an array that begins to serve a connected socket, which a portal has accepted."""


class ServedArray(Protocol):
    """The part of an array that an edge uses."""

    config: Config
    logical_units: dict[int, LogicalUnit]

    @property
    def portals(self) -> tuple[Portal, ...]: ...


class Edge(Protocol):
    """The source of the inputs of an array. The array calls these methods."""

    @property
    def commands(self) -> Commands:
        """Runner of the commands before and after snapshots."""

    async def bind(self, portals: Sequence[Portal], former: Sequence[Portal] = ()) -> list[Listening]:
        """Return listening sockets for all portals, see `bind_portals`. Raises OSError."""

    def started(self, array: ServedArray, nursery: trio.Nursery) -> None:
        """Begin to take inputs. `nursery` is that of the array."""

    def accepted(self, connected: socket.socket, accepted_at: Portal, admit: Admit) -> None:
        """Take a connected socket. `admit` must be called with the socket that the array uses instead."""

    async def operation(self, name: str, given: Mapping[str, object]) -> None:
        """Wait until an operation may begin. It then begins at once."""

    async def content(self, values: Mapping[str, object], data: Buffer) -> None:
        """Wait until a change of the content of a LUN may begin. It then begins at once."""

    def note(self, text: str) -> None:
        """Note a text that explains the session."""

    async def stopping(self) -> None:
        """Wait until the array may stop, to start again."""

    async def stopped(self) -> None:
        """Release everything that belongs to the array that has just ended all connections."""
