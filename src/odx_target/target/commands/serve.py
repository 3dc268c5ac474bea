"""`odx-target serve`: run an array until it is told to stop."""

import signal
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import structlog
import trio
import typer

from odx_target.store.api import Pool, StoreError
from odx_target.store.open import PoolOptions, open_directory_pool, open_memory_pool
from odx_target.target.array import Array
from odx_target.target.config import (
    LOG_LEVELS,
    Config,
    ConfigError,
    check_luns,
    load_config,
    parse_iqn,
    parse_lun,
    parse_portal,
    parse_size,
)
from odx_target.target.logging import configure_logging
from odx_target.target.trio_environment import TrioEnvironment

log = structlog.get_logger()


def serve(
    pool_dir: Annotated[Path | None, typer.Argument(help="Where the pool lives; without it, in a temporary directory.")] = None,
    lun: Annotated[list[str] | None, typer.Option(help="A LUN: NAME=SIZE[,block=512|4096]; may be repeated.")] = None,
    portal: Annotated[list[str] | None, typer.Option(help="Where to listen: HOST:PORT; port 0 picks a free one.")] = None,
    iqn: Annotated[str | None, typer.Option(help="The name of the target.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with settings; options given here win.")] = None,
    pool_limit: Annotated[str | None, typer.Option(help="The most that the pool may use on disk, such as 10G.")] = None,
    log_level: Annotated[str | None, typer.Option(help=f"One of {', '.join(LOG_LEVELS)}.")] = None,
) -> None:
    """Serve LUNs over iSCSI. A pool remembers its LUNs, so a later start needs no --lun."""
    settings = load_config(config) if config else Config()
    if pool_dir:
        settings = replace(settings, pool_dir=pool_dir)
    if lun:
        settings = replace(settings, luns=check_luns(parse_lun(text) for text in lun))
    if portal:
        settings = replace(settings, portals=tuple(parse_portal(text) for text in portal))
    if iqn:
        settings = replace(settings, iqn=parse_iqn(iqn))
    if pool_limit:
        settings = replace(settings, pool_limit_bytes=parse_size(pool_limit))
    if log_level:
        if log_level not in LOG_LEVELS:
            raise ConfigError(f"log level {log_level!r} is not one of {', '.join(LOG_LEVELS)}")
        settings = replace(settings, log_level=log_level)
    configure_logging(settings.log_level)
    with ExitStack() as stack:
        if settings.pool_dir is None:
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="odx-target-"))
            settings = replace(settings, pool_dir=Path(temporary) / "pool")
        _run(settings)


def _run(settings: Config) -> None:
    try:
        trio.run(_serve, settings)
    except* (StoreError, OSError, ConfigError) as group:
        raise first_error(group) from None


async def _serve(settings: Config) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with Array(settings, open_pool=open_pool) as array:
            _print_how_to_connect(array)
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                return


async def open_pool(environment: TrioEnvironment, config: Config) -> Pool:
    """The pool that a configuration names: a directory, or memory."""
    options = PoolOptions(limit_bytes=config.pool_limit_bytes)
    if config.pool_dir is None:
        return await open_memory_pool(environment, options)
    return await open_directory_pool(config.pool_dir, environment, options)


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """One error to tell a person, out of a group that trio raised."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _print_how_to_connect(array: Array) -> None:
    iqn = array.config.iqn
    for number, logical_unit in sorted(array.logical_units.items()):
        size_bytes = logical_unit.capacity_blocks * logical_unit.block_bytes
        typer.echo(f"LUN {number}: {logical_unit.volume.name}, {size_bytes} bytes in blocks of {logical_unit.block_bytes}")
    for portal in array.portals:
        typer.echo(f"iqn {iqn} at {portal}; connect with")
        typer.echo(f"  iscsi-ls -s iscsi://{portal}")
        typer.echo(f"  iscsiadm -m discovery -t sendtargets -p {portal} && iscsiadm -m node -T {iqn} -p {portal} --login")
    for portal in array.portals:
        typer.echo(f"listening on {portal}")
