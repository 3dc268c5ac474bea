"""`odx-target serve`: run an array until it is told to stop."""

import signal
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import structlog
import trio
import typer

from odx_target.store.api import Pool, StoreError
from odx_target.store.open import PoolOptions, open_directory_pool, open_memory_pool
from odx_target.target.array import Array
from odx_target.target.chap_config import chap_user_from_file, chap_warnings, target_chap_from_file, user_and_secret_file
from odx_target.target.commands.reload import reload
from odx_target.target.config import (
    LOG_LEVELS,
    Config,
    ConfigError,
    ServeConfig,
    check_luns,
    load_config,
    load_serve_config,
    parse_copy_rate,
    parse_iqn,
    parse_log_level,
    parse_lun,
    parse_portal,
    parse_size,
)
from odx_target.target.control_socket import CONTROL_NAME, opened_control
from odx_target.target.logging import configure_logging
from odx_target.target.management import perform
from odx_target.target.trace import pcapng
from odx_target.target.trace.opening import opened_tracing
from odx_target.target.trace.tracing import Tracing
from odx_target.target.trio_environment import TrioEnvironment

log = structlog.get_logger()


def serve(
    pool_dir: Annotated[
        Path | None, typer.Argument(readable=False, help="Where the pool lives; without it, in a temporary directory.")
    ] = None,
    lun: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SIZE", help="A LUN, as a=10G or b=2T,block=4096 (else 512); may be repeated."),
    ] = None,
    portal: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 picks a free one; may be repeated."),
    ] = None,
    iqn: Annotated[str | None, typer.Option(metavar="IQN", help="The name of the target.")] = None,
    config: Annotated[
        Path | None, typer.Option(readable=False, metavar="FILE.toml", help="Settings; options given here win.")
    ] = None,
    pool_limit: Annotated[
        str | None, typer.Option(metavar="SIZE", help="The most that the pool may use on disk, such as 10G.")
    ] = None,
    chap_user: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The CHAP user that initiators must prove to be; replaces those of FILE.toml."),
    ] = None,
    chap_secret_file: Annotated[
        Path | None, typer.Option(readable=False, metavar="FILE", help="Its secret, one line of 12 bytes or more.")
    ] = None,
    target_chap_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whom the target proves to be where an initiator asks (mutual CHAP).")
    ] = None,
    target_chap_secret_file: Annotated[
        Path | None, typer.Option(readable=False, metavar="FILE", help="Its secret, another one.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(metavar="LEVEL", help=f"One of {', '.join(LOG_LEVELS)}.")] = None,
    trace: Annotated[
        Path | None, typer.Option(readable=False, metavar="FILE", help="A line for every PDU; SIGUSR1 switches off and on.")
    ] = None,
    pcap: Annotated[
        Path | None, typer.Option(readable=False, metavar="FILE", help="The sessions as pcapng, data and tokens included.")
    ] = None,
    pcap_snap_length: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            min=pcapng.LEAST_SNAP_BYTES,
            max=pcapng.MOST_SNAP_BYTES,
            help=f"What is kept of each packet: {pcapng.MOST_SNAP_BYTES}.",
        ),
    ] = None,
    copy_rate: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Bytes a second for all copies by token together, such as 64M; or none.")
    ] = None,
    report_token_causes: Annotated[
        bool | None,
        typer.Option("--report-token-causes/--no-report-token-causes", help="Tell hosts why a token is invalid; yes."),
    ] = None,
    accept_zero_token: Annotated[
        bool | None,
        typer.Option("--accept-zero-token/--no-accept-zero-token", help="Let hosts zero blocks by the zero token; yes."),
    ] = None,
    control: Annotated[
        Path | None, typer.Option(readable=False, metavar="PATH", help="Socket of `odx-target manage`; `control` in the pool.")
    ] = None,
    remote_lun: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A LUN of which no tokens are made (23h/03h); may be repeated.")
    ] = None,
) -> None:
    """Serve LUNs over iSCSI, on 127.0.0.1:3260 as iqn.2026-11.io.odx-target:array.

    A pool remembers its LUNs, so a later start needs no --lun. SIGHUP lets LUNs grow to the sizes that FILE.toml has by then,
    SIGINT and SIGTERM stop it.
    """
    settings = load_config(config) if config else Config()
    files = load_serve_config(config) if config else ServeConfig()
    given: dict[str, Any] = {
        "pool_dir": pool_dir,
        "luns": check_luns(parse_lun(text) for text in lun) if lun else None,
        "portals": tuple(parse_portal(text) for text in portal) if portal else None,
        "iqn": None if iqn is None else parse_iqn(iqn),
        "pool_limit_bytes": None if pool_limit is None else parse_size(pool_limit),
        "log_level": None if log_level is None else parse_log_level(log_level),
        "report_token_causes": report_token_causes,
        "accept_zero_token": accept_zero_token,
        "remote_luns": tuple(remote_lun) if remote_lun else None,
    }
    settings = replace(settings, **{name: value for name, value in given.items() if value is not None})
    if copy_rate is not None:
        settings = replace(settings, copy_rate_bytes_per_s=parse_copy_rate(copy_rate))
    if user_and_file := user_and_secret_file("chap", chap_user, chap_secret_file):
        settings = replace(settings, chap_users=(chap_user_from_file(*user_and_file),))
    if user_and_file := user_and_secret_file("target-chap", target_chap_user, target_chap_secret_file):
        settings = replace(settings, target_chap=target_chap_from_file(*user_and_file))
    files = ServeConfig(
        trace or files.trace, pcap or files.pcap, pcap_snap_length or files.pcap_snap_bytes, control or files.control
    )
    _check_there_will_be_luns(settings)
    configure_logging(settings.log_level)
    for warning in chap_warnings(settings.chap_users, settings.target_chap, config):
        log.warning(warning)
    with ExitStack() as stack:
        if settings.pool_dir is None:
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="odx-target-"))
            settings = replace(settings, pool_dir=Path(temporary) / "pool")
        tracing = stack.enter_context(opened_tracing(files.trace, files.pcap, files.pcap_snap_bytes))
        _run(settings, tracing, config, files.control)


def _check_there_will_be_luns(settings: Config) -> None:
    """Nothing is left behind of a pool that could not have been served. Raises ConfigError."""
    if settings.luns:
        return
    if settings.pool_dir is None:
        raise ConfigError("a temporary pool has no LUN: give at least one --lun NAME=SIZE, or the directory of a pool")
    with suppress(OSError):
        if not settings.pool_dir.exists() or (settings.pool_dir.is_dir() and not any(settings.pool_dir.iterdir())):
            raise ConfigError(f"there is no pool in {settings.pool_dir} yet: give at least one --lun NAME=SIZE")


def _run(settings: Config, tracing: Tracing | None, config_path: Path | None, control: Path | None) -> None:
    try:
        trio.run(_serve, settings, tracing, config_path, control)
    except* (StoreError, OSError, ConfigError) as group:
        raise first_error(group) from None


async def _serve(settings: Config, tracing: Tracing | None, config_path: Path | None, control: Path | None) -> None:
    assert settings.pool_dir is not None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP) as signals:
        async with (
            Array(settings, open_pool=open_pool, tap=tracing) as array,
            opened_control(control or settings.pool_dir / CONTROL_NAME, partial(perform, array)) as is_managed,
        ):
            _print_how_to_connect(array)
            if is_managed:
                typer.echo(f"odx-target manage {control or settings.pool_dir} --help tells what can be changed meanwhile")
            for portal in array.portals:
                typer.echo(f"listening on {portal}")
            async for number in signals:
                if number == signal.SIGUSR1:
                    _toggle(tracing)
                elif number == signal.SIGHUP:
                    reload(array, config_path)
                else:
                    log.info("stopping", signal=signal.Signals(number).name)
                    return


def _toggle(tracing: Tracing | None) -> None:
    if tracing is None:
        log.warning("nothing to switch on: neither --trace nor --pcap names a file")
    else:
        tracing.toggle()


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
        typer.echo(f"target {iqn} at {portal}; connect with")
        if array.config.chap_users:
            typer.echo(f"  iscsi-ls -s iscsi://USER%SECRET@{portal}")
            typer.echo("  iscsiadm, with the CHAP user and secret in node.session.auth.* and discovery.sendtargets.auth.*")
            continue
        typer.echo(f"  iscsi-ls -s iscsi://{portal}")
        typer.echo(f"  iscsiadm -m discovery -t sendtargets -p {portal} && iscsiadm -m node -T {iqn} -p {portal} --login")
