"""A sample of a configuration file: every key with its meaning and its default, as comments."""

from typing import NamedTuple

from odx_target.copymgr.limits import COMMAND_BUDGET_S
from odx_target.iscsi.limits import COMMAND_WINDOW
from odx_target.store.map.leaf_memory import DEFAULT_MAP_MEMORY_BYTES
from odx_target.target.config.settings import DEFAULT_IQN, Config, Portal
from odx_target.target.server.memory_limits import DEFAULT_MEMORY_BYTES
from odx_target.target.session_file.recording_limits import DEFAULT_RECORDING_BYTES
from odx_target.target.trace.pcapng import MAX_SNAP_BYTES

HEADER = """\
# Configuration of odx-target: `odx-target serve --config FILE.toml` reads it.
# `odx-target check-config FILE.toml` checks it. Each key below is a comment with its default or an example.
"""


class Sample(NamedTuple):
    """A key of the file, with a value and its meaning. `is_default` is True if the value is the default of the key."""

    key: str
    value: str
    meaning: str
    is_default: bool = True


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _mebibytes(size_bytes: int) -> str:
    return f'"{size_bytes >> 20}M"'


_DEFAULTS = Config()

KEYS: tuple[Sample, ...] = (
    Sample("pool", '"pool"', "Directory of the pool, relative to this file. Without it, the pool is temporary.", False),
    Sample("portal", f'["{Portal()}"]', "Addresses at which the target listens. Port 0 selects a free port."),
    Sample("iqn", f'"{DEFAULT_IQN}"', "Name of the target."),
    Sample(
        "max-sessions",
        "16",
        "Largest number of sessions of the target. By default, only the limit of the array applies.",
        False,
    ),
    Sample(
        "max-commands", str(COMMAND_WINDOW), "Largest number of commands that each session of the target has under way.", False
    ),
    Sample("memory-share", "100", "Percentage of the common memory for data that the sessions of the target use.", False),
    Sample("port-group", "1", "Number of the target port group of all ports of the target.", False),
    Sample(
        "relative-target-port",
        "1",
        "Relative target port of the target's portal group 1. By default, the number that the pool keeps.",
        False,
    ),
    Sample(
        "asymmetric-access",
        '"implicit"',
        "Who can change the states of target port groups: none, implicit, explicit, both.",
        False,
    ),
    Sample("transition-time", str(_DEFAULTS.transition_time_s), "Seconds in which a target port group is transitioning."),
    Sample("pool-limit", '"100G"', "Largest room that the log may use on the disk. By default, there is no limit.", False),
    Sample("polling", _flag(_DEFAULTS.polling), "Poll the sockets of hosts for a short time before each wait."),
    Sample("capacity-tier", '"/slow/tier"', "Directory of the capacity tier. By default, there is none.", False),
    Sample("capacity-limit", '"1T"', "Largest room that the capacity tier may use on its disk.", False),
    Sample(
        "capacity-compression", f'"{_DEFAULTS.capacity_compression}"', "Compression in the capacity tier: off, lz4 or zstd."
    ),
    Sample("cleaning", _flag(_DEFAULTS.cleaning), "Free the room of data that was overwritten or unmapped."),
    Sample("cleaning-share", f"{_DEFAULTS.cleaning_share:.0%}".rstrip("%"), "Percentage of the time that the cleaner works."),
    Sample("soft-thresholds", str(list(_DEFAULTS.soft_thresholds)), "Percentages of used room at which hosts are notified."),
    Sample("memory-limit", _mebibytes(DEFAULT_MEMORY_BYTES), "Largest amount of memory of all sessions together."),
    Sample("map-memory", _mebibytes(DEFAULT_MAP_MEMORY_BYTES), "Largest amount of memory for the maps of LUNs and snapshots."),
    Sample("log-level", f'"{_DEFAULTS.log_level}"', "Least severe level that is logged: debug, info, warning or error."),
    Sample(
        "strict-list-identifiers",
        _flag(_DEFAULTS.strict_list_identifiers),
        "Report results of token commands only to the session that sent the command.",
    ),
    Sample("copy-budget", f"{COMMAND_BUDGET_S:g}", "Seconds after which a WRITE USING TOKEN ends with a partial result."),
    Sample("copy-rate", '"none"', "Limit of all copies by token, in bytes per second."),
    Sample("step-aside-copies", "32", "Number of running copies at which the array begins no new copies for a while.", False),
    Sample("step-aside-latency", "0.5", "Mean latency of reads and writes, in seconds, with the same effect.", False),
    Sample("report-token-causes", _flag(_DEFAULTS.report_token_causes), "Report why a token is invalid."),
    Sample("accept-zero-token", _flag(_DEFAULTS.accept_zero_token), "Accept the block device zero token."),
    Sample("token-access", f'"{_DEFAULTS.token_access}"', "Initiators that can use a token: anyone, source or creator."),
    Sample(
        "unreachable-sense",
        f'"{_DEFAULTS.unreachable_sense}"',
        "Sense data if the array of a token cannot be reached: standard, or windows (no retries).",
    ),
    Sample("remote-luns", "[]", "Names of LUNs whose blocks seem to belong to another copy manager."),
    Sample("chap-discovery", _flag(_DEFAULTS.chap_discovery), "Discovery sessions need CHAP too, if there are CHAP users."),
    Sample("trace", '"trace.txt"', "File for a line of text for each PDU.", False),
    Sample("pcap", '"trace.pcapng"', "File for all sessions as packets.", False),
    Sample("personality", '"ctl"', "Take over the identity, limits and habits of another array: a name, or a file.", False),
    Sample("fault-seed", "0", "Number from which the probabilities and pauses of [[fault]] follow."),
    Sample("pcap-snap-length", str(MAX_SNAP_BYTES), "Number of bytes that are kept of each packet."),
    Sample("control", '"control"', "Control socket, relative to this file. By default, it is in the pool.", False),
    Sample("clock", '"real"', "Time of tokens and schedules: real, shifted (testers can advance it) or virtual (only they)."),
    Sample("record-commands", "false", "Keep the latest commands of hosts, so that testers can look at them."),
    Sample("record", '"session.odxrec"', "File to which sessions are recorded, see odx-target replay. Default: none.", False),
    Sample("record-limit", _mebibytes(DEFAULT_RECORDING_BYTES), "Largest size of this file; the recording ends there."),
    Sample("ready-file", '"ready.json"', "File that describes the array while hosts can connect. Default: none.", False),
    Sample("http", '"127.0.0.1:8080"', "Address of the HTTP control port. By default, there is none.", False),
    Sample("http-token-file", '"http.token"', "File with the token of HTTP clients. By default, it is a new token.", False),
    Sample("log-format", '"text"', "Form of the lines of the log: text or json."),
    Sample("link-port", '"0.0.0.0:3261"', "Address at which other arrays can connect. By default, there is none.", False),
    Sample("metrics", '"127.0.0.1:9100"', "Address at which Prometheus fetches metrics. By default, there is none.", False),
)
"""The keys with plain values. In TOML, they come before all tables."""

TABLES = """\
# A LUN that is created if the pool has no LUN of this name. Options: block (512 or 4096), compression (off, lz4 or zstd) and
# tier (fast or capacity).
#[[lun]]
#name = "first"
#size = "10G"
#block = 512
#compression = "off"
#tier = "fast"

# The initiators that may log in, and their LUNs. A name may be a pattern. Without luns, they can use all LUNs. Without any
# [[access]], every initiator can use all LUNs.
#[[access]]
#initiator = ["iqn.2026-11.example:host", "iqn.1991-05.com.microsoft:*"]
#luns = [{ lun = 0, volume = "first" }, { lun = 1, volume = "second", read-only = true }]

# A further target with its own portals, initiators and CHAP users. Without these keys, it has those of the first target.
#[[target]]
#iqn = "iqn.2026-11.example:second"
#portal = ["127.0.0.1:3261"]
#access = [{ initiator = "*" }]
#chap = [{ user = "second-host", secret = "at-least-12-bytes" }]
#target-chap = { user = "second-array", secret = "another-12-bytes" }
#max-sessions = 4
#max-commands = 32
#memory-share = 25
#port-group = 2
#relative-target-port = 2

# A portal group of the targets that have these portals. All other portals are in the portal group with tag 1.
#[[portal-group]]
#tag = 2
#portal = ["127.0.0.1:3261"]
#port-group = 2

# A target port group with its state at the start: active-optimized, active-non-optimized, standby, unavailable,
# offline or transitioning.
#[[target-port-group]]
#number = 2
#state = "standby"
#preferred = false

# Addresses that initiators get for portals that they reach by address translation.
#[announce]
#"127.0.0.1:3260" = "192.0.2.1:3260"

# Logins that are redirected. All keys but to are optional.
#[[redirect]]
#to = "127.0.0.1:3261"
#target = "iqn.2026-11.io.odx-target:array"
#portal = "127.0.0.1:3260"
#initiator = "iqn.2026-11.example:*"
#permanent = false

# A CHAP user. With any user, hosts must log in with CHAP. secret-file names a file with the secret instead.
#[[chap]]
#user = "host"
#secret = "at-least-12-bytes"
#initiator = "iqn.2026-11.example:host"

# The user and secret of the target for mutual CHAP.
#[target-chap]
#user = "array"
#secret = "another-12-bytes"

# A fault that the array injects on purpose, for tests of hosts.
#[[fault]]
#name = "expired"
#command = "WRITE USING TOKEN"
#first = 2
#sense = "TOKEN EXPIRED"

# A path to another array, which needs a link-port. The array waits for the pairing with the path key, which
# `odx-target path key` makes.
#[[path]]
#name = "berlin"
#peer = "192.0.2.9:3261"
#key-file = "berlin.key"
#rights = ["replicate"]
#throttle = { off-peak = "200M", peak = "20M", peak-hours = "08:00-18:00" }

# A schedule of snapshots that is added if the pool has no schedule of this name.
#[[schedule]]
#name = "hourly"
#every = "hourly"
#keep = 24
#default = true

# A volume whose snapshots are sent to another array, as soon as the path is paired. A group has group and volumes instead.
#[[protect]]
#volume = "first"
#path = "berlin"
#trigger = "each"
#snapshots = { hourly = 24, daily = 7 }
#keep-remote = { daily = 30 }

# Volumes that another array keeps equal at every instant, as soon as the paths to it and to the witness are connected.
#[[group]]
#name = "db"
#volumes = ["first"]
#path = "berlin"
#witness = "hamburg"
#out-of-sync-after = 20
"""


def sample_config() -> str:
    """Return the text of a configuration file in which every key is a comment."""
    lines = [HEADER]
    for sample in KEYS:
        lines += [f"# {sample.meaning}{'' if sample.is_default else ' Example:'}", f"#{sample.key} = {sample.value}", ""]
    return "\n".join(lines) + "\n" + TABLES
