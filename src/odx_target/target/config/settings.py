"""Dataclasses with the settings of an array and of the command `serve`, and with the default values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from odx_target.copymgr.limits import TokenAccess, UnreachableSense
from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.settings import Address, CompressionChoice, Right
from odx_target.replica.snapshots.protection import Trigger
from odx_target.replica.sync.limits import OUT_OF_SYNC_S
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import AccessModes
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.access_settings import AccessRule, compiled, is_glob
from odx_target.target.config.chap import ChapUser, TargetChap
from odx_target.target.personality.personality import NO_PERSONALITY, Personality
from odx_target.target.server.memory_limits import DEFAULT_MEMORY_BYTES
from odx_target.target.session_file.recording_limits import DEFAULT_RECORDING_BYTES
from odx_target.target.trace.pcapng import MAX_SNAP_BYTES

DEFAULT_IQN = "iqn.2026-11.io.odx-target:array"
DEFAULT_PORTAL_HOST = "127.0.0.1"
DEFAULT_PORTAL_PORT = 3260  # RFC 7143 4.2.7.1: the port assigned to iSCSI


@dataclass(frozen=True, slots=True)
class LunConfig:
    """A LUN in the pool. If the LUN does not exist yet, the array creates it."""

    name: str
    size_bytes: int
    block_bytes: int = 512
    grows: bool = True
    """True if an existing LUN that is smaller than `size_bytes` is enlarged to `size_bytes`.

    If False, an existing LUN keeps its size. `serve --lun` sets this value to False.
    """
    compression: str | None = None
    """Compression of new writes, see `store.api.COMPRESSIONS`. None keeps the compression of an existing LUN."""
    tier: str | None = None
    """Tier of the data, see `store.api.Tier`. None keeps the tier of an existing LUN."""


@dataclass(frozen=True, slots=True)
class Portal:
    """An address to listen on. If the port is 0, the system chooses a free port."""

    host: str = DEFAULT_PORTAL_HOST
    port: int = DEFAULT_PORTAL_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PortalGroupConfig:
    """A portal group of every target that has any of its portals. `tag` is its portal group tag.

    `port_group` is the number of the target port group of these ports. None means group 1.
    """

    tag: int
    portals: tuple[Portal, ...]
    port_group: int | None = None


@dataclass(frozen=True, slots=True)
class PortGroupConfig:
    """A target port group, with its state when the array starts."""

    number: int
    state: AccessState = AccessState.ACTIVE_OPTIMIZED
    preferred: bool = False


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """A target. If `portals` is None, the target is at the portals of the array. If `chap_users` and `target_chap` are both
    None, the target has the CHAP settings of the array.
    """

    iqn: str
    portals: tuple[Portal, ...] | None = None
    access: tuple[AccessRule, ...] = ()
    chap_users: tuple[ChapUser, ...] | None = None
    target_chap: TargetChap | None = None
    max_sessions: int | None = None
    """The maximum number of sessions of the target. None means that only the limit of the array applies."""
    port_group: int | None = None
    """The target port group of all ports of the target. None means the groups of its portal groups."""
    relative_target_port: int | None = None
    """The relative target port of the portal group with tag 1. None means the number that the pool keeps for the target."""
    max_commands: int | None = None
    """The maximum number of commands that each session may have under way. None means the limit of the array."""
    memory_share: int | None = None
    """The percentage of the common memory for data that all sessions of the target together may use. None means all of it."""


@dataclass(frozen=True, slots=True)
class RedirectRule:
    """Logins that must go to another address.

    The rule is for all targets if `target` is None, for logins through all portals if `portal` is None, and for all initiators
    if `initiator` is None. `initiator` is a name or a pattern. If `permanent` is True, initiators may remember the new address.
    """

    to: Portal
    target: str | None = None
    portal: Portal | None = None
    initiator: str | None = None
    permanent: bool = False
    pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    """The compiled form of `initiator`, if it is a pattern."""

    def __post_init__(self) -> None:
        is_pattern = self.initiator is not None and is_glob(self.initiator)
        object.__setattr__(self, "pattern", compiled(self.initiator or "") if is_pattern else None)


@dataclass(frozen=True, slots=True)
class ScheduleTemplate:
    """A schedule of snapshots that is added to the pool if the pool has no schedule of this name.

    `fields` are the fields that `schedules.fields` describes. `volumes` are the names of volumes that get the schedule.
    """

    name: str
    fields: Mapping[str, object]
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path to another array that a configuration file names.

    The array waits for its pairing with the path key in `key_file` if it has no path of this name. If `peer` is None, only the
    peer dials. If `rights` or `rates` are None, a path keeps its own, and a new path has all rights and no throttle.
    """

    name: str
    peer: Address | None = None
    key_file: Path | None = None
    rights: frozenset[Right] | None = None
    rates: Rates | None = None
    compression: CompressionChoice | None = None


@dataclass(frozen=True, slots=True)
class ProtectTemplate:
    """A protection that is added when its path is paired, if the pool does not have it.

    `schedules` are names, or None for the schedules that the volumes have. `snapshots` has the kinds of schedules that are made
    for this protection, and the number of snapshots that they keep.
    """

    name: str
    path: str
    volumes: tuple[str, ...]
    is_group: bool = False
    trigger: Trigger = Trigger.EACH
    schedules: tuple[str, ...] | None = None
    snapshots: Mapping[str, int] = field(default_factory=dict)
    keep_there: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupTemplate:
    """A group of volumes of this array that is made when its paths are connected, if the array has no group of this name.

    `path` leads to the other member, and `witness` to the witness. `luns` has LUN numbers at the other member by the names of
    volumes. `out_of_sync_s` is the time without an answer after which the primary goes on alone.
    """

    name: str
    volumes: tuple[str, ...]
    path: str
    witness: str
    luns: Mapping[str, int] = field(default_factory=dict)
    out_of_sync_s: float = OUT_OF_SYNC_S


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of an array.

    If `pool_dir` is None, the pool is in memory. `pool_limit_bytes` limits the size of the log. If `pool_limit_bytes` is None,
    only the size of the disk limits the log.
    """

    pool_dir: Path | None = None
    luns: tuple[LunConfig, ...] = ()
    portals: tuple[Portal, ...] = (Portal(),)
    iqn: str = DEFAULT_IQN
    access: tuple[AccessRule, ...] = ()
    """The initiators that may log in, and their LUNs. Without rules, every initiator can use all LUNs."""
    targets: tuple[TargetConfig, ...] = ()
    """Further targets. The first target of the array has the settings `iqn`, `portals`, `access` and those for CHAP."""
    max_sessions: int | None = None
    """The maximum number of sessions of the first target. None means that only the limit of the array applies."""
    port_group: int | None = None
    """The target port group of all ports of the first target. None means the groups of its portal groups."""
    relative_target_port: int | None = None
    """The relative target port of the first target's portal group with tag 1. None means the number that the pool keeps."""
    max_commands: int | None = None
    """The maximum number of commands of each session of the first target. None means the limit of the array."""
    memory_share: int | None = None
    """The percentage of the common memory for data that all sessions of the first target may use. None means all of it."""
    portal_groups: tuple[PortalGroupConfig, ...] = ()
    """The portal groups. All other portals are in the portal group with tag 1."""
    port_groups: tuple[PortGroupConfig, ...] = ()
    """The target port groups that are not active/optimized at the start, or are preferred."""
    asymmetric_access: AccessModes | None = None
    """The initiative for changes of the states of target port groups. None means the array and its operator, if there are
    `port_groups`.
    """
    transition_time_s: int = 0
    """The time that a change of a state takes. 0 means that a change is indivisible."""
    announced: tuple[tuple[Portal, Portal], ...] = ()
    """Pairs of a portal and the address that initiators get instead, because they reach the portal by address translation."""
    redirects: tuple[RedirectRule, ...] = ()
    pool_limit_bytes: int | None = None
    polling: bool = True
    """True if the array polls the sockets of hosts for a short time before it waits for them. If False, it waits at once."""
    capacity_tier: Path | None = None
    """Directory of the capacity tier. None means the directory that the pool remembers, if it has a capacity tier."""
    capacity_limit_bytes: int | None = None
    """Largest size of the capacity tier. None means that only the size of its disk limits it."""
    capacity_compression: str = "zstd"
    """Compression of data that is moved to the capacity tier, see `store.api.COMPRESSIONS`."""
    cleaning: bool = True
    """True if the pool frees the room of overwritten and unmapped data. If False, the log only grows."""
    cleaning_share: float = 0.25
    """The share of the time that the cleaner works while the pool has enough room."""
    soft_thresholds: tuple[int, ...] = (80, 95)
    """Default thresholds, in percent of the pool's room. Hosts are notified when the used room reaches a threshold.

    A host may set other thresholds.
    """
    memory_limit_bytes: int = DEFAULT_MEMORY_BYTES
    """The memory that all sessions together may use, in addition to the memory that the array itself needs."""
    map_memory_bytes: int | None = None
    """The memory for the maps of all volumes and snapshots. None means the default of the pool."""
    log_level: str = "info"
    strict_list_identifiers: bool = False
    """True if the result of a token command can be fetched only by the nexus that sent the command.

    If False, other sessions of the same initiator can fetch the result too. Multipath hosts need the value False.
    """
    copy_budget_s: float | None = None
    """The time after which a WRITE USING TOKEN ends with a partial result. None means the default time of the copy manager."""
    copy_rate_bytes_per_s: int | None = None
    """The maximum rate of all copies by token together. None means that there is no limit."""
    step_aside_copies: int | None = None
    """Number of running copies at which the array begins no new copies, so that hosts copy by reads and writes for a while."""
    step_aside_latency_s: float | None = None
    """Mean latency of reads and writes above which the array begins no new copies. None means that there is no threshold."""
    report_token_causes: bool = True
    """True if the sense data reports why a token is invalid."""
    accept_zero_token: bool = True
    token_access: TokenAccess = TokenAccess.ANYONE
    """The initiators that can use a token."""
    unreachable_sense: UnreachableSense = UnreachableSense.STANDARD
    """The sense data if the array that made a token cannot be reached."""
    remote_luns: tuple[str, ...] = ()
    """Names of LUNs that are treated as LUNs of another copy manager.

    Hosts can copy to these LUNs by token, but not from these LUNs.
    """
    schedules: tuple[ScheduleTemplate, ...] = ()
    personality: Personality = NO_PERSONALITY
    """The identity, limits and habits of another array, which this array takes over for a test, see docs/personalities.md."""
    faults: tuple[Mapping[str, object], ...] = ()
    """The rules by which the array injects faults, see docs/faults.md. They have been checked."""
    fault_seed: int = 0
    """Number from which the probabilities and pauses of the rules follow."""
    chap_users: tuple[ChapUser, ...] = ()
    """The CHAP users. Each initiator must log in as one of these users. If there are no users, every initiator may log in."""
    target_chap: TargetChap | None = None
    chap_discovery: bool = True
    """True if discovery sessions must log in with CHAP too."""


class LogFormat(StrEnum):
    """The form of a line of the log."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """The settings of `serve` itself: its trace, its capture, and the control socket."""

    trace: Path | None = None
    pcap: Path | None = None
    pcap_snap_bytes: int = MAX_SNAP_BYTES
    control: Path | None = None
    """The path of the control socket. None means a socket in the directory of the pool."""
    metrics: Portal | None = None
    """The address at which Prometheus can fetch metrics. None means that no metrics are served."""
    link_port: Portal | None = None
    """The address at which the array listens to other arrays. None means that it has no paths to other arrays."""
    paths: tuple[PathTemplate, ...] = ()
    """Paths that the array waits for, or whose settings it changes, when it starts."""
    protections: tuple[ProtectTemplate, ...] = ()
    """Protections that are added when their paths are paired, if the pool does not have them."""
    groups: tuple[GroupTemplate, ...] = ()
    """Groups that are made when their paths are connected, if the array does not have them."""
    pair: tuple[Path, ...] = ()
    """Pools on this machine with whose arrays the array is paired. This needs a link port."""
    clock: ClockMode = ClockMode.REAL
    """The way in which the time of the array passes."""
    record_commands: bool = False
    """True if the array records the commands of hosts, so that testers can look at them."""
    record: Path | None = None
    """The file to which the sessions of all hosts are recorded. None means that nothing is recorded."""
    record_limit_bytes: int = DEFAULT_RECORDING_BYTES
    """The largest size of this file. The recording ends there, and the array continues."""
    ready_file: Path | None = None
    """The file that describes the array, and that exists while hosts can connect. None means that there is no such file."""
    http: Portal | None = None
    """The address of the HTTP control port. None means that there is none."""
    http_token_file: Path | None = None
    """The file with the token of the HTTP control port. None means that the array makes a token."""
    log_format: LogFormat = LogFormat.TEXT
