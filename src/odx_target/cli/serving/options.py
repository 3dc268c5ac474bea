"""The options of `odx-target serve`, and the settings that result from them and from FILE.toml.

`OPTIONS` is the only list of the options. typer's parameters are made from it (`typer_parameters.py`), and `command_line.py`
reads usual command lines by it without typer, which takes longer to load than such a line takes to read.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

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
Parse: TypeAlias = Callable[[Any], Any]


class Kind(Enum):
    """The form of an option on the command line, and the Python type of its value."""

    POOL = auto()
    """The only argument without a name: a Path."""
    TEXT = auto()
    TEXTS = auto()
    """A list of texts. The option may be repeated."""
    PATH = auto()
    NUMBER = auto()
    SWITCH = auto()
    """True, or False if `no-` comes before the name."""
    FLAG = auto()


class Option(NamedTuple):
    """An option, with its help.

    The value of the option sets `field` of Config or of ServeConfig (`part`), after `parse` has read it. The options without a
    field are read by `serve` itself. The value of a NUMBER is between `bounds`, including both.
    """

    name: str
    kind: Kind
    metavar: str
    help: str
    part: type[Config] | type[ServeConfig] | None = None
    field: str = ""
    parse: Parse = str
    bounds: tuple[int, int] | None = None

    @property
    def parameter(self) -> str:
        """Name of the parameter of `serve` that has the value."""
        return self.name.replace("-", "_")

    @property
    def absent(self) -> bool | None:
        """The value if the option is not given."""
        return False if self.kind is Kind.FLAG else None


OPTIONS = (
    Option("pool-dir", Kind.POOL, "POOL", "Directory of the pool; default: a temporary directory.", Config, "pool_dir", Path),
    Option(
        "lun",
        Kind.TEXTS,
        "NAME=SIZE",
        "A LUN to create, such as disk=10G or disk=2T,block=4096,compression=lz4,tier=capacity; may be repeated. "
        "Default: block=512,compression=off,tier=fast.",
        Config,
        "luns",
        lambda texts: check_luns(replace(parse_lun(text), grows=False) for text in texts),
    ),
    Option(
        "portal",
        Kind.TEXTS,
        "HOST:PORT",
        "Address to listen on; port 0 means any free port; may be repeated.",
        Config,
        "portals",
        lambda texts: tuple(map(parse_portal, texts)),
    ),
    Option("iqn", Kind.TEXT, "IQN", "Name of the target.", Config, "iqn", parse_iqn),
    Option("config", Kind.PATH, "FILE.toml", "File with settings. Options on the command line take precedence."),
    Option(
        "pool-limit",
        Kind.TEXT,
        "SIZE",
        "Maximum size of the pool on disk, such as 10G.",
        Config,
        "pool_limit_bytes",
        parse_pool_limit,
    ),
    Option(
        "capacity-tier",
        Kind.PATH,
        "DIR",
        "Directory of the capacity tier, on another disk; the pool remembers it. Volumes with tier=capacity use it.",
        Config,
        "capacity_tier",
        Path,
    ),
    Option(
        "capacity-limit",
        Kind.TEXT,
        "SIZE",
        "Maximum size of the capacity tier, such as 10T.",
        Config,
        "capacity_limit_bytes",
        parse_capacity_limit,
    ),
    Option(
        "capacity-compression",
        Kind.TEXT,
        "off|lz4|zstd",
        "Compression of data that is moved to the capacity tier; default: zstd.",
        Config,
        "capacity_compression",
        parse_capacity_compression,
    ),
    Option(
        "cleaning",
        Kind.SWITCH,
        "",
        "Free the room of overwritten and unmapped data in the pool; default: yes.",
        Config,
        "cleaning",
        bool,
    ),
    Option(
        "cleaning-share",
        Kind.NUMBER,
        "PERCENT",
        "Share of the time that the cleaner works while the pool has enough room; default: 25.",
        Config,
        "cleaning_share",
        parse_cleaning_share,
    ),
    Option(
        "polling",
        Kind.SWITCH,
        "",
        "Poll the sockets of hosts for about 60 microseconds before each wait, so that a host that sends one command at a "
        "time gets faster responses; default: yes.",
        Config,
        "polling",
        bool,
    ),
    Option(
        "memory-limit",
        Kind.TEXT,
        "SIZE",
        "Maximum memory of all sessions together; default: 512M; at least 320M.",
        Config,
        "memory_limit_bytes",
        parse_memory_limit,
    ),
    Option(
        "map-memory",
        Kind.TEXT,
        "SIZE",
        "Maximum memory of the maps of LUNs and snapshots; default: 256M; at least 16M.",
        Config,
        "map_memory_bytes",
        parse_map_memory,
    ),
    Option("chap-user", Kind.TEXT, "NAME", "CHAP user that initiators must log in as; replaces the users of FILE.toml."),
    Option("chap-secret-file", Kind.PATH, "FILE", "File with the secret of --chap-user: one line of at least 12 bytes."),
    Option("target-chap-user", Kind.TEXT, "NAME", "CHAP user of the target itself (mutual CHAP)."),
    Option(
        "target-chap-secret-file",
        Kind.PATH,
        "FILE",
        "File with the secret of the target's user; must differ from the secret of initiators.",
    ),
    Option("log-level", Kind.TEXT, "LEVEL", f"One of {', '.join(LOG_LEVELS)}.", Config, "log_level", parse_log_level),
    Option(
        "log-format",
        Kind.TEXT,
        "|".join(LogFormat),
        "Form of the lines of the log; default: text.",
        ServeConfig,
        "log_format",
        lambda name: parse_choice(LogFormat, name, "log-format: "),
    ),
    Option(
        "trace",
        Kind.PATH,
        "FILE",
        "Write a line for every PDU; SIGUSR1 switches tracing off and on.",
        ServeConfig,
        "trace",
        Path,
    ),
    Option(
        "pcap",
        Kind.PATH,
        "FILE",
        "Write the packets of all sessions as pcapng, including data and tokens.",
        ServeConfig,
        "pcap",
        Path,
    ),
    Option(
        "pcap-snap-length",
        Kind.NUMBER,
        "BYTES",
        f"Maximum number of bytes to write of each packet; default: {pcapng.MAX_SNAP_BYTES}.",
        ServeConfig,
        "pcap_snap_bytes",
        int,
        (pcapng.MIN_SNAP_BYTES, pcapng.MAX_SNAP_BYTES),
    ),
    Option(
        "copy-rate",
        Kind.TEXT,
        "SIZE",
        "Maximum rate of all copies by token together, in bytes per second, such as 64M; `none` means no limit.",
        Config,
        "copy_rate_bytes_per_s",
        parse_copy_rate,
    ),
    Option(
        "report-token-causes",
        Kind.SWITCH,
        "",
        "Report to hosts why a token is invalid; default: yes.",
        Config,
        "report_token_causes",
        bool,
    ),
    Option(
        "accept-zero-token",
        Kind.SWITCH,
        "",
        "Accept the zero token, which writes zeros; default: yes.",
        Config,
        "accept_zero_token",
        bool,
    ),
    Option(
        "control",
        Kind.PATH,
        "PATH",
        "The control socket, which `odx-target manage` and other commands use; default: `control` in the pool.",
        ServeConfig,
        "control",
        Path,
    ),
    Option(
        "metrics",
        Kind.TEXT,
        "HOST:PORT",
        "Address at which Prometheus can fetch /metrics, or a port of 127.0.0.1; default: no metrics are served.",
        ServeConfig,
        "metrics",
        parse_metrics_address,
    ),
    Option(
        "link-port",
        Kind.TEXT,
        "HOST:PORT",
        "Address at which other arrays can connect, or a port of 127.0.0.1; default: no links to other arrays.",
        ServeConfig,
        "link_port",
        parse_link_address,
    ),
    Option(
        "pair",
        Kind.TEXTS,
        "DIR",
        "Pair with the array that serves this pool on this machine, if they are not paired; may be repeated.",
        ServeConfig,
        "pair",
        lambda places: tuple(map(Path, places)),
    ),
    Option(
        "http",
        Kind.TEXT,
        "HOST:PORT",
        "Address of the HTTP control port, or a port of 127.0.0.1; default: none.",
        ServeConfig,
        "http",
        parse_http_address,
    ),
    Option(
        "http-token-file",
        Kind.PATH,
        "FILE",
        "File with the token that HTTP clients send; default: a new token, see --json and --ready-file.",
        ServeConfig,
        "http_token_file",
        Path,
    ),
    Option(
        "clock",
        Kind.TEXT,
        "|".join(ClockMode),
        "Time of tokens, copies and schedules: as usual; as usual, and testers can advance it; only when testers advance "
        "it. Default: real.",
        ServeConfig,
        "clock",
        lambda name: parse_choice(ClockMode, name, "clock: "),
    ),
    Option(
        "record-commands",
        Kind.SWITCH,
        "",
        "Keep the latest commands of hosts, so that testers can look at them; default: no.",
        ServeConfig,
        "record_commands",
        bool,
    ),
    Option(
        "record",
        Kind.PATH,
        "FILE",
        "Record all sessions, with data and tokens, for `odx-target replay`. The array then takes one input at a time.",
        ServeConfig,
        "record",
        Path,
    ),
    Option(
        "record-limit",
        Kind.TEXT,
        "SIZE",
        "Maximum size of the recording; it ends there; default: 1G.",
        ServeConfig,
        "record_limit_bytes",
        parse_record_limit,
    ),
    Option(
        "ready-file",
        Kind.PATH,
        "FILE",
        "Write a line of JSON that describes the array as soon as hosts can connect; removed when the array stops.",
        ServeConfig,
        "ready_file",
        Path,
    ),
    Option("json", Kind.FLAG, "", "Print one line of JSON instead of text when hosts can connect."),
    Option(
        "remote-lun",
        Kind.TEXTS,
        "NAME",
        "A LUN whose blocks count as those of another array: POPULATE TOKEN is refused (23h/03h); may be repeated.",
        Config,
        "remote_luns",
        tuple,
    ),
    Option(
        "personality",
        Kind.TEXT,
        "NAME|FILE",
        "Take over the identity, limits and habits of another array; `odx-target personality list` lists them.",
        Config,
        "personality",
        find_personality,
    ),
    Option("show-limits", Kind.FLAG, "", "Print all limits of the array and the memory that these limits allow; then exit."),
)
"""The options in the order of the help."""


def settings_of(file: Path | None, given: Mapping[str, object]) -> tuple[Config, ServeConfig]:
    """Return the settings from a file and from the options. `given` has the values of the options by `Option.parameter`.

    Raises ConfigError for an invalid file or option, and for options that exclude each other.
    """
    array = load_config(file) if file else Config()
    files = load_serve_config(file) if file else ServeConfig()
    return _with_chap(_with(array, given), given), _with(files, given)


def chap_settings_of(file: Path | None, given: Mapping[str, object]) -> Config:
    """Return settings with the CHAP users and secrets from a file and from the four options for CHAP in `given`.

    Raises ConfigError for an invalid file or option.
    """
    return _with_chap(load_config(file) if file else Config(), given)


def _with(part: Part, given: Mapping[str, object]) -> Part:
    found = [(option, given[option.parameter]) for option in OPTIONS if isinstance(part, option.part or ())]
    return replace(part, **{option.field: option.parse(value) for option, value in found if value not in (None, [])})


def _with_chap(array: Config, given: Mapping[str, Any]) -> Config:
    if pair := user_and_secret_file("chap", given["chap_user"], given["chap_secret_file"]):
        array = replace(array, chap_users=(chap_user_from_file(*pair),))
    if pair := user_and_secret_file("target-chap", given["target_chap_user"], given["target_chap_secret_file"]):
        array = replace(array, target_chap=target_chap_from_file(*pair))
    return array
