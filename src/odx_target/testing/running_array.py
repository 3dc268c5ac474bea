"""An array that runs while a test runs, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio
from sniffio import AsyncLibraryNotFoundError, current_async_library

from odx_target.environment import Buffer
from odx_target.initiator.url import Portal
from odx_target.store.api import StoreError
from odx_target.target import lun_contents as contents
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import check_luns, parse_lun
from odx_target.target.config.settings import Config
from odx_target.target.config.settings import Portal as LinkPort
from odx_target.target.config.settings_file import config_of
from odx_target.target.control.arguments import ManagementError
from odx_target.target.personality.reading import find_personality
from odx_target.target.recording.offload import Offload
from odx_target.target.recording.operations import offload_of
from odx_target.testing.clock import TestClock, clock_mode
from odx_target.testing.command_list import CommandList
from odx_target.testing.faults import Faults
from odx_target.testing.host import Host
from odx_target.testing.linked_array import LinkedArray
from odx_target.testing.loop_thread import LoopThread
from odx_target.testing.service import Service, config_at_free_ports

DEFAULT_LUNS: Mapping[str, str] = {"a": "64M", "b": "64M"}
DEFAULT_PATTERN = b"\xa5"

START_ERRORS = (ConfigError, StoreError, OSError, ValueError)
"""Exceptions of wrong settings, and of a start that fails."""

_numbers = count(1)


def running_array(
    luns: Mapping[str, str] | None = None,
    *,
    directory: str | Path | None = None,
    clock: str = "shifted",
    record: bool = True,
    record_to: str | Path | None = None,
    host: str = "127.0.0.1",
    portals: int = 1,
    personality: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    link: bool = False,
) -> RunningArray:
    """Return an array that runs from the beginning to the end of a `with` or `async with` block.

    `luns` maps the names of the LUNs to their sizes, such as `"1G"`, or `"1G,block=4096"`. The pool is in memory, unless
    `directory` names a directory. `clock` is `"shifted"` if the time passes as usual and can be advanced, and `"virtual"` if
    it passes only when it is advanced. If `record` is False, the array does not record commands, and small reads and writes are
    faster. If `record_to` names a file, the array writes its sessions there, and `odx-target replay` repeats them.
    `personality` is the name or the file of a personality: the identity, limits and habits of another array.
    `settings` has the keys of a configuration file. The array listens at `host`, at ports that the system chooses, one for each
    of `portals`. If `link` is True, it can be paired with another array of this process (`RunningArray.pair`).

    Raises ConfigError for wrong settings, and ValueError for a wrong clock or number of portals. The start raises StoreError if
    the pool cannot be opened, and OSError if no port can be bound.
    """
    config = config_of(settings or {}, Path(), Config(polling=False))
    if luns is not None or not config.luns:
        sizes = DEFAULT_LUNS if luns is None else luns
        wanted = (parse_lun(f"{name}={size}") for name, size in sizes.items())
        config = replace(config, luns=check_luns(replace(lun, grows=False) for lun in wanted))
    if personality is not None:
        config = replace(config, personality=find_personality(str(personality)))
    if directory is not None:
        config = replace(config, pool_dir=Path(directory))
    if portals < 1:
        raise ValueError(f"portals: want at least one, not {portals}")
    return RunningArray(
        Service(
            config_at_free_ports(config, host, portals),
            clock_mode(clock),
            records=record,
            record_to=None if record_to is None else Path(record_to),
            link_port=LinkPort(host, 0) if link else None,
        )
    )


class RunningArray(LinkedArray):
    """An array that runs while the body of a `with` block runs. `running_array` makes it.

    All methods may be called from any thread and from any event loop. They return when the array has done the work. LUNs are
    named by their names.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = LoopThread(f"odx-target {next(_numbers)}")
        self._hosts: list[Host] = []

    def start(self) -> Self:
        """Start the array, and return when hosts can connect. `with` does this."""
        self._loop.start()
        try:
            self._loop.call(self._service.start, self._loop.nursery)
        except BaseException:
            self._loop.stop()
            raise
        return self

    def stop(self) -> None:
        """Close the hosts of `host`, and stop the array. A second call does nothing. `with` does this."""
        try:
            self._close_hosts()
            if self._loop.is_running:
                self._loop.call(self._service.stop)
        finally:
            self._loop.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await _in_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await _in_thread(self.stop)

    @property
    def portal(self) -> str:
        """Address and port at which the array listens, such as `127.0.0.1:40123`."""
        return self.portals[0]

    @property
    def portals(self) -> list[str]:
        """Addresses and ports of all portals, the one of `portal` first."""
        return [str(portal) for portal in self._service.array.portals]

    @property
    def target(self) -> str:
        """The iSCSI name of the target."""
        return self._service.array.config.iqn

    def url(self, lun: str) -> str:
        """Return the iSCSI URL of a LUN, in the form of libiscsi and QEMU. Raises ConfigError for an unknown name."""
        return f"iscsi://{self.portal}/{self.target}/{self.lun_number(lun)}"

    def lun_number(self, lun: str) -> int:
        """Return the LUN number of a LUN. Raises ConfigError for an unknown name."""
        return self._service.array.logical_unit_named(lun).number

    @property
    def clock(self) -> TestClock:
        """The clock of the array."""
        return TestClock(self._loop, self._service.clock)

    @property
    def faults(self) -> Faults:
        """The rules by which the array injects faults."""
        return Faults(self._loop, self._service)

    @property
    def commands(self) -> CommandList:
        """All commands of all hosts, in the order in which they arrived. It is empty if the array does not record."""
        return CommandList(self._loop.call(self._commands), self.lun_number)

    @property
    def offload(self) -> Offload:
        """The copies that the array has made for hosts, and those that it has refused, with the reasons."""
        return self._loop.call(self._offload)

    def clear_commands(self) -> None:
        """Forget the recorded commands."""
        self._loop.call(self._clear_commands)

    def read(self, lun: str, offset: int = 0, size: int | None = None) -> bytes:
        """Return `size` bytes of a LUN from the byte `offset` on; all bytes up to the end if `size` is None.

        Raises ValueError for a range that is not inside the LUN.
        """
        return self._loop.call(self._service.use, contents.read, lun, offset, size)

    def write(self, lun: str, offset: int, data: Buffer) -> None:
        """Write bytes to a LUN from the byte `offset` on. Raises ValueError for a range that is not inside the LUN."""
        self._loop.call(self._service.use, contents.write, lun, offset, data)

    def fill(
        self,
        lun: str,
        pattern: bytes | None = DEFAULT_PATTERN,
        *,
        seed: int = 0,
        offset: int = 0,
        size: int | None = None,
    ) -> None:
        """Fill a range of a LUN, or the whole LUN, with a repeated pattern.

        If `pattern` is None, the data is random, and depends only on `seed`. Raises ValueError.
        """
        self._loop.call(self._service.use, contents.fill, lun, pattern, seed, offset, size)

    def digest(self, lun: str) -> str:
        """Return the digest of the content of a LUN. LUNs of one size have equal digests if and only if their data is equal.

        The time depends on the changed data, not on the size of the LUN.
        """
        return self._loop.call(self._service.use, contents.digest, lun)

    def snapshot(self, name: str, *luns: str) -> None:
        """Take snapshots of LUNs at the same moment; of all LUNs if none is named. Raises ManagementError."""
        named = luns or [unit.volume.name for unit in self._service.array.logical_units.values()]
        self.manage("snapshot-create", snapshots=[f"{lun}@{name}" for lun in named])

    def restore(self, name: str, *luns: str) -> None:
        """Replace the content of LUNs by that of their snapshots; of all LUNs that have the snapshot if none is named.

        Raises ManagementError.
        """
        named = list(luns) or self._loop.call(self._luns_with_snapshot, name)
        if not named:
            raise ManagementError(f"no LUN has a snapshot called {name!r}")
        for lun in named:
            self.manage("snapshot-restore", snapshot=f"{lun}@{name}")

    def restart(self) -> None:
        """Stop the array and start it again at the same port, as after a loss of power of the array. All sessions end.

        The data, snapshots, durable reservations, rules of faults and recorded commands stay. Tokens end, unless they are
        persistent. Hosts that were made by `host` are closed.
        """
        self._close_hosts()
        self._loop.call(self._service.restart)

    def reset(self) -> None:
        """Delete all data, snapshots, tokens, reservations, rules of faults and recorded commands, and end all sessions.

        The array starts again at the same port with empty LUNs, and its clock shows the real time. Hosts that were made by
        `host` are closed.
        """
        self._close_hosts()
        self._loop.call(self._service.reset, self._loop.nursery)

    def manage(self, operation: str, **arguments: object) -> Mapping[str, object]:
        """Perform an operation of `odx-target manage`, such as `manage("resize", name="a", size="2G")`.

        docs/control.md lists the operations. Raises ManagementError.
        """
        return self._loop.call(self._service.perform, operation, arguments)

    @property
    def link_port(self) -> str | None:
        """Address and port at which other arrays can connect. None without `link=True`."""
        return None if self._service.link_port is None else str(self._service.link_port)

    def host(self, name: str = "iqn.2026-11.io.odx-target:test-host", *, portal: str | None = None) -> Host:
        """Log in to the array as an initiator with this name, and return the host. It is closed when the array stops.

        `portal` is one of `portals`; by default, it is the first one. Raises ValueError if it is none of them.
        """
        self._loop.call(self._service.wait_until_served)
        chosen = self._service.array.portals[0 if portal is None else self.portals.index(portal)]
        made = Host(self._loop, Portal(chosen.host, chosen.port), self.target, name, self.lun_number)
        self._hosts.append(made)
        return made

    def _close_hosts(self) -> None:
        while self._hosts:
            self._hosts.pop().close()

    async def _commands(self) -> list[Any]:
        recorder = self._service.recorder
        return [] if recorder is None else recorder.commands()

    async def _clear_commands(self) -> None:
        if self._service.recorder is not None:
            self._service.recorder.clear()

    async def _offload(self) -> Offload:
        return offload_of(self._service.array)

    async def _luns_with_snapshot(self, name: str) -> list[str]:
        return [volume.name for volume in self._service.array.pool.volumes.values() if name in volume.snapshots]


async def _in_thread(function: Callable[[], object]) -> None:
    """Run a function that waits in a thread, in the event loop of the caller: trio or asyncio."""
    try:
        library = current_async_library()
    except AsyncLibraryNotFoundError:
        library = "asyncio"
    if library == "trio":
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(function)
    else:
        import asyncio  # A program that uses trio need not load it.

        await asyncio.shield(asyncio.to_thread(function))
