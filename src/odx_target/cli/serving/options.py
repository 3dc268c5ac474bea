"""The options of `odx-target serve`, and the settings that result from them and from FILE.toml."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import typer

from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.chap import chap_user_from_file, target_chap_from_file, user_and_secret_file
from odx_target.target.config.parsing import (
    LOG_LEVELS,
    check_luns,
    parse_capacity_compression,
    parse_capacity_limit,
    parse_choice,
    parse_cleaning_share,
    parse_copy_rate,
    parse_http_address,
    parse_iqn,
    parse_link_address,
    parse_log_level,
    parse_lun,
    parse_map_memory,
    parse_memory_limit,
    parse_metrics_address,
    parse_pool_limit,
    parse_portal,
    parse_record_limit,
)
from odx_target.target.config.settings import Config, LogFormat, ServeConfig
from odx_target.target.config.settings_file import load_config, load_serve_config
from odx_target.target.personality.reading import find_personality
from odx_target.target.trace import pcapng

Part = TypeVar("Part", Config, ServeConfig)


def _path(metavar: str, words: str) -> Any:
    return typer.Option(readable=False, metavar=metavar, help=words)


PoolDir = Annotated[
    Path | None,
    typer.Argument(metavar="POOL", readable=False, help="Directory of the pool; default: a temporary directory."),
]
Lun = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=SIZE",
        help="A LUN to create, such as disk=10G or disk=2T,block=4096,compression=lz4,tier=capacity; may be repeated. "
        "Default: block=512,compression=off,tier=fast.",
    ),
]
PortalOption = Annotated[
    list[str] | None,
    typer.Option("--portal", metavar="HOST:PORT", help="Address to listen on; port 0 means any free port; may be repeated."),
]
Iqn = Annotated[str | None, typer.Option(metavar="IQN", help="Name of the target.")]
ConfigFile = Annotated[Path | None, _path("FILE.toml", "File with settings. Options on the command line take precedence.")]
PoolLimit = Annotated[str | None, typer.Option(metavar="SIZE", help="Maximum size of the pool on disk, such as 10G.")]
Polling = Annotated[
    bool | None,
    typer.Option(
        "--polling/--no-polling",
        help="Poll the sockets of hosts for about 30 microseconds before each wait, so that a host that sends one command at a "
        "time gets faster responses; default: yes.",
    ),
]
CapacityTier = Annotated[
    Path | None,
    _path("DIR", "Directory of the capacity tier, on another disk; the pool remembers it. Volumes with tier=capacity use it."),
]
CapacityLimit = Annotated[str | None, typer.Option(metavar="SIZE", help="Maximum size of the capacity tier, such as 10T.")]
CapacityCompression = Annotated[
    str | None,
    typer.Option(metavar="off|lz4|zstd", help="Compression of data that is moved to the capacity tier; default: zstd."),
]
Cleaning = Annotated[
    bool | None,
    typer.Option("--cleaning/--no-cleaning", help="Free the room of overwritten and unmapped data in the pool; default: yes."),
]
CleaningShare = Annotated[
    int | None,
    typer.Option(
        metavar="PERCENT",
        help="Share of the time that the cleaner works while the pool has enough room; default: 25.",
    ),
]
MemoryLimit = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Maximum memory of all sessions together; default: 512M; at least 320M."),
]
MapMemory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Maximum memory of the maps of LUNs and snapshots; default: 256M; at least 16M."),
]
ChapUser = Annotated[
    str | None, typer.Option(metavar="NAME", help="CHAP user that initiators must log in as; replaces the users of FILE.toml.")
]
ChapSecretFile = Annotated[Path | None, _path("FILE", "File with the secret of --chap-user: one line of at least 12 bytes.")]
TargetChapUser = Annotated[str | None, typer.Option(metavar="NAME", help="CHAP user of the target itself (mutual CHAP).")]
TargetChapSecretFile = Annotated[
    Path | None, _path("FILE", "File with the secret of the target's user; must differ from the secret of initiators.")
]
LogLevel = Annotated[str | None, typer.Option(metavar="LEVEL", help=f"One of {', '.join(LOG_LEVELS)}.")]
LogFormatOption = Annotated[
    str | None,
    typer.Option("--log-format", metavar="|".join(LogFormat), help="Form of the lines of the log; default: text."),
]
Trace = Annotated[Path | None, _path("FILE", "Write a line for every PDU; SIGUSR1 switches tracing off and on.")]
Pcap = Annotated[Path | None, _path("FILE", "Write the packets of all sessions as pcapng, including data and tokens.")]
PcapSnapLength = Annotated[
    int | None,
    typer.Option(
        metavar="BYTES",
        min=pcapng.MIN_SNAP_BYTES,
        max=pcapng.MAX_SNAP_BYTES,
        help=f"Maximum number of bytes to write of each packet; default: {pcapng.MAX_SNAP_BYTES}.",
    ),
]
CopyRate = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Maximum rate of all copies by token together, in bytes per second, such as 64M; `none` means no limit.",
    ),
]
ReportTokenCauses = Annotated[
    bool | None,
    typer.Option(
        "--report-token-causes/--no-report-token-causes", help="Report to hosts why a token is invalid; default: yes."
    ),
]
AcceptZeroToken = Annotated[
    bool | None,
    typer.Option("--accept-zero-token/--no-accept-zero-token", help="Accept the zero token, which writes zeros; default: yes."),
]
Control = Annotated[
    Path | None,
    _path("PATH", "The control socket, which `odx-target manage` and other commands use; default: `control` in the pool."),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address at which Prometheus can fetch /metrics, or a port of 127.0.0.1; default: no metrics are served.",
    ),
]
LinkPort = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address at which other arrays can connect, or a port of 127.0.0.1; default: no links to other arrays.",
    ),
]
Clock = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(ClockMode),
        help="Time of tokens, copies and schedules: as usual; as usual, and testers can advance it; only when testers advance "
        "it. Default: real.",
    ),
]
RecordCommands = Annotated[
    bool | None,
    typer.Option(
        "--record-commands/--no-record-commands",
        help="Keep the latest commands of hosts, so that testers can look at them; default: no.",
    ),
]
Record = Annotated[
    Path | None,
    _path(
        "FILE", "Record all sessions, with data and tokens, for `odx-target replay`. The array then takes one input at a time."
    ),
]
RecordLimit = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Maximum size of the recording; it ends there; default: 1G.")
]
ReadyFile = Annotated[
    Path | None,
    _path("FILE", "Write a line of JSON that describes the array as soon as hosts can connect; removed when the array stops."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of text when hosts can connect.")]
Http = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Address of the HTTP control port, or a port of 127.0.0.1; default: none."),
]
HttpTokenFile = Annotated[
    Path | None, _path("FILE", "File with the token that HTTP clients send; default: a new token, see --json and --ready-file.")
]
RemoteLun = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A LUN whose blocks count as those of another array: POPULATE TOKEN is refused (23h/03h); may be repeated.",
    ),
]
PersonalityOption = Annotated[
    str | None,
    typer.Option(
        "--personality",
        metavar="NAME|FILE",
        help="Take over the identity, limits and habits of another array; `odx-target personality list` lists them.",
    ),
]
ShowLimits = Annotated[
    bool, typer.Option("--show-limits", help="Print all limits of the array and the memory that these limits allow; then exit.")
]

Parse: TypeAlias = Callable[[Any], Any]

_ARRAY_OPTIONS: dict[str, tuple[str, Parse]] = {
    # option: (field of Config, function that reads the value)
    "pool_dir": ("pool_dir", Path),
    "lun": ("luns", lambda texts: check_luns(replace(parse_lun(text), grows=False) for text in texts)),
    "portal": ("portals", lambda texts: tuple(map(parse_portal, texts))),
    "iqn": ("iqn", parse_iqn),
    "pool_limit": ("pool_limit_bytes", parse_pool_limit),
    "polling": ("polling", bool),
    "capacity_tier": ("capacity_tier", Path),
    "capacity_limit": ("capacity_limit_bytes", parse_capacity_limit),
    "capacity_compression": ("capacity_compression", parse_capacity_compression),
    "cleaning": ("cleaning", bool),
    "cleaning_share": ("cleaning_share", parse_cleaning_share),
    "memory_limit": ("memory_limit_bytes", parse_memory_limit),
    "map_memory": ("map_memory_bytes", parse_map_memory),
    "log_level": ("log_level", parse_log_level),
    "copy_rate": ("copy_rate_bytes_per_s", parse_copy_rate),
    "report_token_causes": ("report_token_causes", bool),
    "accept_zero_token": ("accept_zero_token", bool),
    "remote_lun": ("remote_luns", tuple),
    "personality": ("personality", find_personality),
}

_SERVE_OPTIONS: dict[str, tuple[str, Parse]] = {
    # option: (field of ServeConfig, function that reads the value)
    "trace": ("trace", Path),
    "pcap": ("pcap", Path),
    "pcap_snap_length": ("pcap_snap_bytes", int),
    "control": ("control", Path),
    "metrics": ("metrics", parse_metrics_address),
    "link_port": ("link_port", parse_link_address),
    "clock": ("clock", lambda name: parse_choice(ClockMode, name, "clock: ")),
    "record_commands": ("record_commands", bool),
    "record": ("record", Path),
    "record_limit": ("record_limit_bytes", parse_record_limit),
    "ready_file": ("ready_file", Path),
    "http": ("http", parse_http_address),
    "http_token_file": ("http_token_file", Path),
    "log_format": ("log_format", lambda name: parse_choice(LogFormat, name, "log-format: ")),
}


def settings_of(file: Path | None, given: Mapping[str, object]) -> tuple[Config, ServeConfig]:
    """Return the settings from a file and from the options. An option that was not given is None in `given`.

    Raises ConfigError for an invalid file or option, and for options that exclude each other.
    """
    array = load_config(file) if file else Config()
    files = load_serve_config(file) if file else ServeConfig()
    return _with_chap(_with(array, _ARRAY_OPTIONS, given), given), _with(files, _SERVE_OPTIONS, given)


def chap_settings_of(file: Path | None, given: Mapping[str, object]) -> Config:
    """Return settings with the CHAP users and secrets from a file and from the four options for CHAP in `given`.

    Raises ConfigError for an invalid file or option.
    """
    return _with_chap(load_config(file) if file else Config(), given)


def _with(part: Part, options: Mapping[str, tuple[str, Parse]], given: Mapping[str, object]) -> Part:
    values = ((field, parse, given[name]) for name, (field, parse) in options.items())
    return replace(part, **{field: parse(value) for field, parse, value in values if value not in (None, [])})


def _with_chap(array: Config, given: Mapping[str, Any]) -> Config:
    if pair := user_and_secret_file("chap", given["chap_user"], given["chap_secret_file"]):
        array = replace(array, chap_users=(chap_user_from_file(*pair),))
    if pair := user_and_secret_file("target-chap", given["target_chap_user"], given["target_chap_secret_file"]):
        array = replace(array, target_chap=target_chap_from_file(*pair))
    return array
