"""`odx-target serve`: serve an array until a signal stops it."""

import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import trio

from odx_target.cli.failure import first_error
from odx_target.cli.serving.access_warnings import warn_of_missing_volumes, warn_of_open_portals
from odx_target.cli.serving.announcement import Announcement, ready_file
from odx_target.cli.serving.freed_memory import keep_freed_memory
from odx_target.cli.serving.garbage_collector import spared_collector
from odx_target.cli.serving.http import check_http, http_descriptors, served_http
from odx_target.cli.serving.later_imports import load_later
from odx_target.cli.serving.links import link_descriptors, served_links
from odx_target.cli.serving.logging import configure_logging
from odx_target.cli.serving.management import perform
from odx_target.cli.serving.metrics import metrics_descriptors, served_metrics
from odx_target.cli.serving.options import settings_of
from odx_target.cli.serving.recorded_sessions import check_recording, clock_of, recorded_sessions
from odx_target.cli.serving.reload import Reloader, Settings
from odx_target.cli.serving.restart import ends_at
from odx_target.cli.serving.signals import STOP_SIGNALS, Signals
from odx_target.configured_pool import open_pool as open_pool
from odx_target.store.api import StoreError
from odx_target.target.access.targets import portals_of, warnings_of
from odx_target.target.array import Array
from odx_target.target.clock.array_clock import ArrayClock
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, ServeConfig
from odx_target.target.control.server import serve_control
from odx_target.target.control.socket_file import CONTROL_NAME
from odx_target.target.duplicates import announced
from odx_target.target.event_log import log
from odx_target.target.file_descriptors import Descriptors, count_open, divide, raise_limit
from odx_target.target.inputs.recorder import SessionRecorder
from odx_target.target.recording.recorder import CommandRecorder
from odx_target.target.trace.trace_files import opened_tracing
from odx_target.target.trace.tracing import Tracing

if TYPE_CHECKING:
    import typer

COPY_IS_SERVED = "another array on this machine serves a copy of this pool; hosts take the LUNs of both for the same disks"


@dataclass(slots=True)
class Again:
    """The configuration file, the settings that were applied last, and the function that reads the settings again.

    The settings outlive an array that a fault restarts.
    """

    path: Path | None
    settings: Settings
    read: Callable[[Path], Settings]


def register(root: "typer.Typer") -> None:
    """Add the subcommand."""
    from odx_target.cli.serving.typer_parameters import with_options

    root.command("serve")(with_options(serve))


def serve(**given: object) -> None:
    """Serve LUNs over iSCSI.

    The default target is iqn.2026-11.io.odx-target:array on 127.0.0.1:3260. A pool remembers its LUNs and their sizes, so a
    later start needs no --lun. On SIGHUP, FILE.toml is read again, and its changed keys are applied. The log names the changed
    keys that need a restart. SIGINT and SIGTERM stop the array.
    """
    file = given["config"]
    assert file is None or isinstance(file, Path)
    settings, files = settings_of(file, given)
    again = Again(file, Settings(settings, files), lambda path: Settings(*settings_of(path, given)))
    if given["show_limits"]:
        from odx_target.cli.serving.limit_tables import print_limits  # It imports the limits of all parts.

        print_limits(settings)
        return
    _serve_until_stopped(settings, files, again, as_json=bool(given["json"]))


def _serve_until_stopped(settings: Config, files: ServeConfig, again: Again, as_json: bool) -> None:
    """Check the settings, and serve the array. Raises ConfigError, StoreError and OSError."""
    _check_there_will_be_luns(settings)
    standard_error = configure_logging(settings.log_level, files.log_format)
    check_http(files, shows_token=as_json or files.ready_file is not None)
    others = metrics_descriptors(files.metrics) + http_descriptors(files.http) + link_descriptors(files.link_port)
    descriptors = divide(raise_limit(), count_open() + others, len(portals_of(settings)))
    for warning in warnings_of(settings, again.path):
        log.warning(warning)
    with ExitStack() as stack:
        check_recording(settings, files)
        if settings.pool_dir is None:
            if settings.capacity_tier is not None:
                raise ConfigError("a temporary pool has no capacity tier: give the directory of a pool")
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="odx-target-"))
            settings = replace(settings, pool_dir=Path(temporary) / "pool")
        stack.enter_context(standard_error.in_thread())
        tracing = stack.enter_context(opened_tracing(files.trace, files.pcap, files.pcap_snap_bytes))
        _run(settings, descriptors, tracing, again, files, as_json)


def _check_there_will_be_luns(settings: Config) -> None:
    """Check that a new pool will have at least one LUN. Raises ConfigError."""
    if settings.luns:
        return
    if settings.pool_dir is None:
        raise ConfigError("a temporary pool has no LUN: give at least one --lun NAME=SIZE, or the directory of a pool")
    with suppress(OSError):
        if not settings.pool_dir.exists() or (settings.pool_dir.is_dir() and not any(settings.pool_dir.iterdir())):
            raise ConfigError(f"there is no pool in {settings.pool_dir} yet: give at least one --lun NAME=SIZE")


def _run(
    settings: Config, descriptors: Descriptors, tracing: Tracing | None, again: Again, files: ServeConfig, as_json: bool = False
) -> None:
    # Only a running array reads its settings again. By default, SIGHUP would end a server that starts or stops.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    keep_freed_memory()
    try:
        trio.run(_serve, settings, descriptors, tracing, again, files, as_json)
    except* (StoreError, OSError, ConfigError) as group:
        raise first_error(group) from None


class Equipment(NamedTuple):
    """The parts of a server that stay when its array restarts. `again` has the settings that are read again on SIGHUP."""

    descriptors: Descriptors
    tracing: Tracing | None
    again: Again
    files: ServeConfig
    as_json: bool
    clock: ArrayClock | None
    recorder: CommandRecorder | None
    edge: SessionRecorder | None


async def _serve(
    settings: Config, descriptors: Descriptors, tracing: Tracing | None, again: Again, files: ServeConfig, as_json: bool
) -> None:
    """Serve the array until a signal stops it. If a fault restarts the array, serve it again at the same ports."""
    clock = clock_of(files)
    recorder = CommandRecorder(time.time if clock is None else clock.time) if files.record_commands else None
    former: Array | None = None
    with (
        recorded_sessions(settings, files, clock) as edge,
        trio.open_signal_receiver(*STOP_SIGNALS, signal.SIGUSR1, signal.SIGHUP) as receiver,
    ):
        equipment = Equipment(descriptors, tracing, again, files, as_json, clock, recorder, edge)
        async with trio.open_nursery() as nursery:
            signals = Signals()
            nursery.start_soon(signals.read, receiver)
            nursery.start_soon(load_later)
            while (former := await _serve_once(settings, equipment, signals, former)) is not None:
                log.info("restarting, because a fault was injected")
                settings = former.config
            nursery.cancel_scope.cancel()


async def _serve_once(settings: Config, equipment: Equipment, signals: Signals, former: Array | None) -> Array | None:
    """Serve the array until it must stop. Returns the array if it must start again, and None otherwise. `former` is the array
    before the restart.
    """
    with trio.CancelScope() as signals.starting:
        return await _serve_array(settings, equipment, signals, former)
    return None  # a signal has stopped the start


async def _serve_array(settings: Config, equipment: Equipment, signals: Signals, former: Array | None) -> Array | None:
    assert settings.pool_dir is not None
    files = equipment.files
    async with (
        Array(
            settings,
            open_pool=partial(open_pool, descriptors=equipment.descriptors.segments),
            entropy=secrets.token_bytes if equipment.edge is None else equipment.edge.entropy,
            tap=equipment.tracing,
            max_sockets=equipment.descriptors.sockets,
            clock=equipment.clock,
            recorder=equipment.recorder,
            faults=None if former is None else former.faults,
            former_portals=() if former is None else former.portals,
            edge=equipment.edge,
        ) as array,
        # The links come before the control socket, so that everything about paths can be asked there from the beginning.
        served_links(files, array),
        serve_control(files.control or settings.pool_dir / CONTROL_NAME, partial(perform, array)) as is_managed,
        served_metrics(files.metrics, array),
        served_http(files, array) as http,
    ):
        signals.starting = None
        warn_of_open_portals(array.targets)
        warn_of_missing_volumes(array.targets)
        managed_at = (files.control or settings.pool_dir) if is_managed else None
        with announced(array.pool.names_identity) as is_only:
            if not is_only:
                log.warning(COPY_IS_SERVED, hint="stop one of them; `odx-target pool renew-identity POOL` changes the copy")
            announcement = Announcement(array, managed_at, http)
            with ready_file(files.ready_file, announcement):
                await trio.to_thread.run_sync(partial(announcement.show, as_json=equipment.as_json))
                async with spared_collector():
                    obey = (signals.received, array, equipment.tracing, equipment.again)
                    return array if await ends_at(array.restart_wanted, _obey, *obey) else None


async def _obey(signals: AsyncIterator[int], array: Array, tracing: Tracing | None, again: Again) -> None:
    """Handle the signals that this process receives. Return after a signal that stops the array."""
    reloader = Reloader(array, again.path, again.settings, again.read)
    async for number in signals:
        if number == signal.SIGUSR1:
            _toggle(tracing)
        elif number == signal.SIGHUP:
            await reloader.reload()
            if array.edge is not None:
                array.edge.note("the configuration file was read again, which a replay does not repeat")
            again.settings = reloader.current
        else:
            log.info("stopping", signal=signal.Signals(number).name)
            return


def _toggle(tracing: Tracing | None) -> None:
    if tracing is None:
        log.warning("tracing cannot be switched on: neither --trace nor --pcap names a file")
    else:
        tracing.toggle()
