"""The commands that an array has seen, as a list to assert on."""

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from odx_target.target.recording.seen_command import SeenCommand


class CommandList(Sequence[SeenCommand]):
    """Commands in the order in which they arrived. The list does not change when further commands arrive."""

    def __init__(self, commands: Sequence[SeenCommand], lun_number: Callable[[str], int]) -> None:
        self._commands = commands
        self._lun_number = lun_number

    def where(
        self,
        operation: str | None = None,
        *,
        lun: str | int | None = None,
        initiator: str | None = None,
        status: str | None = None,
        sense: str | None = None,
    ) -> "CommandList":
        """Return the commands with these properties. A property that is None does not matter.

        `lun` is the name or the number of a LUN. `sense` is a part of the sense data as text, such as `TOKEN EXPIRED`.
        """
        number = self._lun_number(lun) if isinstance(lun, str) else lun
        return CommandList(
            [
                command
                for command in self._commands
                if operation in (None, command.operation)
                and number in (None, command.lun)
                and initiator in (None, command.initiator)
                and status in (None, command.status)
                and (sense is None or (command.sense is not None and sense.upper() in str(command.sense)))
            ],
            self._lun_number,
        )

    @property
    def operations(self) -> list[str]:
        """The names of the commands."""
        return [command.operation for command in self._commands]

    def __len__(self) -> int:
        return len(self._commands)

    @overload
    def __getitem__(self, index: int) -> SeenCommand: ...

    @overload
    def __getitem__(self, index: slice) -> "CommandList": ...

    def __getitem__(self, index: int | slice) -> "SeenCommand | CommandList":
        if isinstance(index, slice):
            return CommandList(self._commands[index], self._lun_number)
        return self._commands[index]

    def __iter__(self) -> Iterator[SeenCommand]:
        return iter(self._commands)

    def __repr__(self) -> str:
        return "\n".join(["commands:", *(f"  {command}" for command in self._commands)]) if self._commands else "no commands"
