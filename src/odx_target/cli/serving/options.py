"""The options of `odx-target serve`, and the settings that they make together with FILE.toml."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import typer

from odx_target.target.config.chap import chap_user_from_file, target_chap_from_file, user_and_secret_file
from odx_target.target.config.settings import (
    LOG_LEVELS,
    Config,
    ServeConfig,
    check_luns,
    load_config,
    load_serve_config,
    parse_copy_rate,
    parse_iqn,
    parse_log_level,
    parse_lun,
    parse_memory_limit,
    parse_pool_limit,
    parse_portal,
)
from odx_target.target.trace import pcapng

Part = TypeVar("Part", Config, ServeConfig)


def _path(metavar: str, words: str) -> Any:
    return typer.Option(readable=False, metavar=metavar, help=words)


PoolDir = Annotated[
    Path | None,
    typer.Argument(metavar="POOL", readable=False, help="Where the pool lives; without it, in a temporary directory."),
]
Lun = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=SIZE",
        help="A LUN to make, as a=10G or b=2T,block=4096 (else 512); may be repeated.",
    ),
]
PortalOption = Annotated[
    list[str] | None,
    typer.Option("--portal", metavar="HOST:PORT", help="Where to listen; port 0 picks a free one; may be repeated."),
]
Iqn = Annotated[str | None, typer.Option(metavar="IQN", help="The name of the target.")]
ConfigFile = Annotated[Path | None, _path("FILE.toml", "Settings; options given here win.")]
PoolLimit = Annotated[str | None, typer.Option(metavar="SIZE", help="The most that the pool may use on disk, such as 10G.")]
MemoryLimit = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="The most memory that all sessions may take together: 512M; at least 320M."),
]
ChapUser = Annotated[
    str | None, typer.Option(metavar="NAME", help="The CHAP user that initiators must prove to be, in place of FILE.toml's.")
]
ChapSecretFile = Annotated[Path | None, _path("FILE", "Its secret, one line of 12 bytes or more.")]
TargetChapUser = Annotated[
    str | None, typer.Option(metavar="NAME", help="Whom the target proves to be where an initiator asks (mutual CHAP).")
]
TargetChapSecretFile = Annotated[Path | None, _path("FILE", "Its secret, another one.")]
LogLevel = Annotated[str | None, typer.Option(metavar="LEVEL", help=f"One of {', '.join(LOG_LEVELS)}.")]
Trace = Annotated[Path | None, _path("FILE", "A line for every PDU; SIGUSR1 switches off and on.")]
Pcap = Annotated[Path | None, _path("FILE", "The sessions as pcapng, data and tokens included.")]
PcapSnapLength = Annotated[
    int | None,
    typer.Option(
        metavar="BYTES",
        min=pcapng.MIN_SNAP_BYTES,
        max=pcapng.MAX_SNAP_BYTES,
        help=f"What is kept of each packet: {pcapng.MAX_SNAP_BYTES}.",
    ),
]
CopyRate = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Bytes a second for all copies by token together, such as 64M; or none.")
]
ReportTokenCauses = Annotated[
    bool | None,
    typer.Option("--report-token-causes/--no-report-token-causes", help="Tell hosts why a token is invalid; yes."),
]
AcceptZeroToken = Annotated[
    bool | None,
    typer.Option("--accept-zero-token/--no-accept-zero-token", help="Let hosts write zeros by the zero token; yes."),
]
Control = Annotated[Path | None, _path("PATH", "Socket of `odx-target manage`; `control` in the pool.")]
RemoteLun = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="A LUN of which no tokens are made (23h/03h); may be repeated.")
]
ShowLimits = Annotated[
    bool, typer.Option("--show-limits", help="Print every limit and the memory that they allow, and do not serve.")
]

Parse: TypeAlias = Callable[[Any], Any]

_ARRAY_OPTIONS: dict[str, tuple[str, Parse]] = {
    # option: (field of Config, how it is read)
    "pool_dir": ("pool_dir", Path),
    "lun": ("luns", lambda texts: check_luns(replace(parse_lun(text), grows=False) for text in texts)),
    "portal": ("portals", lambda texts: tuple(map(parse_portal, texts))),
    "iqn": ("iqn", parse_iqn),
    "pool_limit": ("pool_limit_bytes", parse_pool_limit),
    "memory_limit": ("memory_limit_bytes", parse_memory_limit),
    "log_level": ("log_level", parse_log_level),
    "copy_rate": ("copy_rate_bytes_per_s", parse_copy_rate),
    "report_token_causes": ("report_token_causes", bool),
    "accept_zero_token": ("accept_zero_token", bool),
    "remote_lun": ("remote_luns", tuple),
}

_SERVE_OPTIONS: dict[str, tuple[str, Parse]] = {
    # option: (field of ServeConfig, how it is read)
    "trace": ("trace", Path),
    "pcap": ("pcap", Path),
    "pcap_snap_length": ("pcap_snap_bytes", int),
    "control": ("control", Path),
}


def settings_of(file: Path | None, given: Mapping[str, object]) -> tuple[Config, ServeConfig]:
    """What a file and the options say; None is an option that was not given.

    Raises ConfigError for a file or an option that cannot be, and for options that do not go together.
    """
    array = load_config(file) if file else Config()
    files = load_serve_config(file) if file else ServeConfig()
    return _with_chap(_with(array, _ARRAY_OPTIONS, given), given), _with(files, _SERVE_OPTIONS, given)


def _with(part: Part, options: Mapping[str, tuple[str, Parse]], given: Mapping[str, object]) -> Part:
    values = ((field, parse, given[name]) for name, (field, parse) in options.items())
    return replace(part, **{field: parse(value) for field, parse, value in values if value not in (None, [])})


def _with_chap(array: Config, given: Mapping[str, Any]) -> Config:
    if pair := user_and_secret_file("chap", given["chap_user"], given["chap_secret_file"]):
        array = replace(array, chap_users=(chap_user_from_file(*pair),))
    if pair := user_and_secret_file("target-chap", given["target_chap_user"], given["target_chap_secret_file"]):
        array = replace(array, target_chap=target_chap_from_file(*pair))
    return array
