"""The limits of an array that an operator or a host can reach, and the memory that these limits allow in the worst case.

The values are constants of the modules that apply them. The string below a constant has the reason for its value. This module
has only the list of the limits to show, in the order of the output.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

from odx_target.cli.serving.constant_reasons import reasons_of
from odx_target.copymgr import limits as copy_limits
from odx_target.copymgr.operations import copy_rate
from odx_target.iscsi import limits as iscsi_limits
from odx_target.migration import limits as migration_limits
from odx_target.replica.blocks import limits as blocks_limits
from odx_target.replica.edge import greetings
from odx_target.replica.link import limits as link_limits
from odx_target.replica.pairing import desk, path_key
from odx_target.replica.paths import settings as path_settings
from odx_target.replica.remote_tokens import limits as token_limits
from odx_target.replica.snapshots import limits as snapshots_limits
from odx_target.replica.sync import limits as sync_limits
from odx_target.replica.sync.stream import stream_meter
from odx_target.scsi import limits as scsi_limits
from odx_target.store import troubles
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log import checksum_index, records
from odx_target.store.log.compressed import extent_cache
from odx_target.store.map import leaf_memory
from odx_target.store.segments import base_place, places, segment
from odx_target.store.volumes import compression
from odx_target.target import file_descriptors, lun_contents
from odx_target.target.config import (
    access_settings,
    address_settings,
    chap,
    parsing,
    redirection_loops,
    target_settings,
    toml_file,
)
from odx_target.target.config.copy_settings import copy_limits_of
from odx_target.target.config.settings import Config
from odx_target.target.control import server as control_server
from odx_target.target.inputs import input_gate, live_connection
from odx_target.target.server import memory_division, memory_limits
from odx_target.target.session_file import frames as session_frames
from odx_target.target.session_file import recording_limits
from odx_target.target.trace import pcapng, record_writer
from odx_target.target.witness import witness

Number = int | float


class Limit(NamedTuple):
    """A limit to show. `unit` is the unit of `value`: "bytes", "bytes/s", "s", "ms", or "" for a count."""

    name: str
    value: Number
    unit: str
    reason: str


class MemoryPart(NamedTuple):
    """Maximum memory that is used for one purpose."""

    name: str
    size_bytes: int
    reason: str


SHOWN: Mapping[str, tuple[tuple[ModuleType, tuple[str, ...]], ...]] = {
    "sessions and connections": (
        (
            iscsi_limits,
            (
                "MAX_CONNECTIONS",
                "MAX_DISCOVERY_SESSIONS",
                "MAX_LOGINS",
                "COMMAND_WINDOW",
                "MAX_IMMEDIATE_COMMANDS",
                "MAX_CDB_BYTES",
                "MAX_RECV_DATA_SEGMENT_BYTES",
                "MAX_FIRST_BURST_BYTES",
                "MAX_BURST_BYTES",
                "MAX_OUTSTANDING_R2T",
                "MAX_COLLECTED_BYTES",
                "MAX_HELD_BYTES",
                "MAX_UNSENT_ANSWER_BYTES",
                "LOGIN_TIMEOUT_S",
                "PING_AFTER_IDLE_S",
                "PING_TIMEOUT_S",
                "DATA_OUT_TIMEOUT_S",
                "DISCOVERY_IDLE_S",
                "LOGOUT_TIME_S",
            ),
        ),
        (
            file_descriptors,
            (
                "MIN_SOCKETS",
                "MAX_SOCKETS",
                "MIN_SEGMENTS",
                "MAX_SEGMENTS",
            ),
        ),
    ),
    "commands": (
        (
            scsi_limits,
            (
                "MAX_TRANSFER_BYTES",
                "OPTIMAL_TRANSFER_BYTES",
                "MAX_UNMAP_BYTES",
                "MAX_UNMAP_DESCRIPTORS",
                "MAX_WRITE_SAME_BYTES",
                "MAX_COMPARE_AND_WRITE_BYTES",
                "MAX_ATOMIC_TRANSFER_BYTES",
                "MAX_LBA_STATUS_DESCRIPTORS",
                "MAX_TASKS",
                "MAX_REGISTRATIONS",
                "MAX_RESERVE_OUT_BYTES",
                "MAX_IDENTIFYING_INFORMATION_BYTES",
                "MAX_IDENTIFYING_TEXT_BYTES",
                "THRESHOLD_SET_BYTES",
                "THRESHOLD_REPEAT_S",
            ),
        ),
    ),
    "copy by token": (
        (
            copy_limits,
            (
                "MAX_TOKENS",
                "MAX_CHANGE_VULNERABLE_TOKENS",
                "MAX_RANGE_DESCRIPTORS",
                "MAX_ROD_BYTES",
                "MAX_RANGE_BYTES",
                "OPTIMAL_TRANSFER_BYTES",
                "MIN_INACTIVITY_TIMEOUT_S",
                "DEFAULT_INACTIVITY_TIMEOUT_S",
                "MAX_INACTIVITY_TIMEOUT_S",
                "MAX_TOKEN_LIFETIME_S",
                "COMMAND_BUDGET_S",
                "ANSWER_RESERVE_S",
                "MIN_TOMBSTONE_S",
                "MAX_TOMBSTONES",
                "MAX_RECORDS_PER_NEXUS",
                "MAX_RECORD_BYTES",
                "RECORD_LIFETIME_S",
                "MAX_CONCURRENT_COPIES",
                "MAX_INITIATOR_TOTALS",
                "MAX_CSCD_DESCRIPTORS",
                "MAX_SEGMENT_DESCRIPTORS",
                "MAX_DESCRIPTOR_LIST_BYTES",
                "MAX_SEGMENT_BYTES",
                "STATUS_UPDATE_DELAY_MS",
            ),
        ),
        (
            copy_rate,
            (
                "MIN_COPY_RATE_BYTES_PER_S",
                "MAX_COPY_RATE_BYTES_PER_S",
            ),
        ),
    ),
    "pool and LUNs": (
        (
            parsing,
            (
                "MAX_LUNS",
                "MAX_LUN_BYTES",
                "MAX_LUN_NAME_CHARACTERS",
                "MIN_POOL_LIMIT_BYTES",
                "MIN_MAP_MEMORY_BYTES",
                "MAX_MAP_MEMORY_BYTES",
            ),
        ),
        (segment, ("MAX_SEGMENT_BLOCKS",)),
        (checksum_index, ("MAX_TABLES",)),
        (places, ("MAX_EXTENT_BLOCKS", "MAX_STORED_BLOCKS", "MAX_EXTENT_SEGMENT")),
        (extent_cache, ("MAX_EXTENTS",)),
        (compression, ("MAX_INLINE_BLOCKS", "MAX_PREPARED_BYTES", "MAX_SKIPPED_WRITES")),
        (troubles, ("MAX_DAMAGED_PLACES",)),
    ),
    "links to other arrays": (
        (
            link_limits,
            (
                "MAX_BODY_BYTES",
                "MAX_JSON_BYTES",
                "MAX_HELLO_BYTES",
                "MAX_TEXT_BYTES",
                "MAX_LIST_ITEMS",
                "MAX_JSON_DEPTH",
                "MAX_OPENED_CHANNELS",
                "INITIAL_CREDIT_BYTES",
                "MAX_CREDIT_BYTES",
                "MAX_BUFFERED_BYTES",
                "MAX_UNSENT_BYTES",
                "PING_AFTER_S",
                "DEAD_AFTER_S",
                "HELLO_TIMEOUT_S",
                "MIN_RETRY_S",
                "MAX_RETRY_S",
                "AWAITED_RETRY_S",
                "REFUSED_RETRY_S",
                "MIN_THROTTLE_BYTES_PER_S",
                "MAX_THROTTLE_BYTES_PER_S",
                "TRIAL_BYTES",
                "TRIAL_INTERVAL_BYTES",
                "MIN_GAIN",
                "FAST_BYTES_PER_S",
            ),
        ),
        (
            blocks_limits,
            (
                "MAX_OFFER_BLOCKS",
                "MAX_RANGE_BLOCKS",
                "MAX_OFFERS",
                "MAX_DATA_BLOCKS",
                "MAX_SERVED_REQUESTS",
                "MAX_VAIN_ATTEMPTS",
                "MAX_WAIT_S",
                "MAX_SILENCE_S",
                "TURN_BLOCKS",
                "MIN_HIT_PERCENT",
            ),
        ),
        (
            token_limits,
            (
                "GATHERED_BLOCKS",
                "MAX_LEASES",
                "MAX_MADE_TOKENS",
                "LEASE_TIMEOUT_S",
                "UNUSED_TOKEN_S",
                "MAX_UNUSED_TOKENS",
                "PATH_WAIT_S",
                "ANSWER_WAIT_S",
                "MAX_PULL_BLOCKS",
                "MAX_PULLS",
                "MAX_PATH_PULLS",
                "MAX_SERVED_PULLS",
                "MAX_SERVED_TOKEN_REQUESTS",
                "MIN_READ_AHEAD_BYTES",
                "MAX_READ_AHEAD_BYTES",
                "MAX_ALL_READ_AHEAD_BYTES",
            ),
        ),
        (path_settings, ("MAX_PATHS", "MAX_PATH_CONNECTIONS")),
        (greetings, ("MAX_GREETINGS", "MAX_NETWORK_GREETINGS")),
        (
            snapshots_limits,
            (
                "MAX_SENDS",
                "MAX_RECEIVES",
                "MAX_PROTECTIONS",
                "MAX_COPIES",
                "MAX_GROUP_VOLUMES",
                "MAX_KEEP",
                "MAX_REJECTIONS",
                "MAX_REJECTED_SNAPSHOTS",
                "MAX_SERVED_REPLICATIONS",
                "MIN_PUBLISHED_BLOCKS_PER_S",
                "MAX_GUIDS",
                "MAX_BASE_QUESTIONS",
                "MAX_ATTRIBUTES",
                "MIN_RETRY_S",
                "MAX_RETRY_S",
            ),
        ),
        (
            sync_limits,
            (
                "MAX_GROUPS",
                "MAX_GROUP_VOLUMES",
                "MIN_OUT_OF_SYNC_S",
                "OUT_OF_SYNC_S",
                "MAX_OUT_OF_SYNC_S",
                "MAX_ITEM_BLOCKS",
                "MAX_UNSETTLED_MESSAGES",
                "MAX_WAITING_FLUSHES",
                "MAX_WAITING_ANCHORS",
                "MAX_SHIPPED_MAPS",
                "MAX_HAND_OVER_S",
                "MIN_ROOM_BYTES",
                "MAX_READ_BLOCKS",
                "MAX_READ_FINDINGS",
                "MIN_READ_RATE_BYTES",
                "MAX_NAMED_SNAPSHOTS",
                "READ_RATE_BYTES",
            ),
        ),
        (stream_meter, ("MAX_MEASURED_CHANGES",)),
        (witness, ("MAX_WITNESS_BYTES",)),
        (path_key, ("MIN_KEY_CHARACTERS", "MAX_KEY_CHARACTERS")),
        (desk, ("PAIRING_TIME_S", "MAX_ATTEMPTS", "MAX_UNPAIRED")),
    ),
    "imports": (
        (base_place, ("MAX_BASE_BLOCKS", "MAX_BASE_NUMBER")),
        (
            migration_limits,
            (
                "MAX_IMPORTS",
                "MAX_FINISHED",
                "MAX_PIECES",
                "PIECE_BLOCKS",
                "SOURCE_WAIT_S",
                "COMMAND_TIMEOUT_S",
                "DEFAULT_RATE_BYTES_PER_S",
                "MIN_RATE_BYTES_PER_S",
                "MAX_RATE_BYTES_PER_S",
                "MAX_BAD_RANGES",
            ),
        ),
    ),
    "memory and settings": (
        (
            memory_limits,
            (
                "MIN_MEMORY_BYTES",
                "MAX_MEMORY_BYTES",
            ),
        ),
        (
            toml_file,
            (
                "MAX_FILE_BYTES",
                "MAX_KEY_PARTS",
            ),
        ),
        (
            chap,
            (
                "MIN_SECRET_BYTES",
                "MAX_SECRET_BYTES",
                "MAX_USER_BYTES",
                "MAX_USERS",
                "MAX_SECRET_FILE_BYTES",
            ),
        ),
        (access_settings, ("MAX_ACCESS_RULES", "MAX_RULE_INITIATORS")),
        (target_settings, ("MAX_TARGETS",)),
        (address_settings, ("MAX_REDIRECTIONS",)),
        (redirection_loops, ("MAX_CHECKED_MATCHES",)),
        (
            control_server,
            (
                "MAX_CONTROL_CONNECTIONS",
                "MAX_LINE_BYTES",
                "IDLE_TIMEOUT_S",
            ),
        ),
        (
            pcapng,
            (
                "MIN_SNAP_BYTES",
                "MAX_SNAP_BYTES",
            ),
        ),
        (record_writer, ("MAX_QUEUED_BYTES",)),
        (recording_limits, ("DEFAULT_RECORDING_BYTES", "MAX_RECORDING_BYTES", "MIN_RECORDING_BYTES")),
        (session_frames, ("MAX_FRAME_BYTES", "MAX_TIME_S")),
        (lun_contents, ("MAX_CHANGE_BYTES",)),
        (live_connection, ("MAX_INPUT_BYTES", "MAX_UNREAD_BYTES", "MAX_WAITING_OUTPUT_BYTES", "MAX_UNSENT_OUTPUT_BYTES")),
        (input_gate, ("MAX_SETTLE_S",)),
    ),
}
"""The constants to show. Each table has a title, and lists constants of one or more modules. The string below a constant has
the reason for its value.
"""

NOT_SHOWN: Mapping[tuple[ModuleType, str], str] = {
    (iscsi_limits, "MAX_TRANSFER_BYTES"): "the same as the largest READ or WRITE, which is shown",
    (copy_limits, "MAX_NAMEABLE_RANGE_DESCRIPTORS"): "the most that a field of the standard can hold; far more than is allowed",
    (file_descriptors, "MIN_READS"): "descriptors that the array uses by itself",
    (file_descriptors, "MAX_READS"): "descriptors that the array uses by itself",
    (access_settings, "MAX_MAPPED_LUNS"): "the same as the largest number of LUNs, which is shown",
    (parsing, "MAX_PORT"): "a rule of TCP",
    (parsing, "MAX_PORT_DIGITS"): "a rule of TCP",
    (session_frames, "MAX_CONTENT_BYTES"): "the largest frame, which is shown, and its times",
    (segment, "MIN_SEGMENT_BLOCKS"): "segments this small are made by tests only",
    (memory_limits, "MAX_SHARES"): "follows from the number of sessions",
    (memory_limits, "MIN_GUARANTEED_BYTES"): "follows from the first burst",
    (memory_limits, "MIN_UNSOLICITED_BYTES"): "follows from the first burst and the number of sessions",
}
"""Limits that are not shown although their modules are in `SHOWN`, and the reasons. No operator or host reaches these limits
directly.
"""

_ACRONYMS = {"cdb": "CDB", "lba": "LBA", "lun": "LUN", "luns": "LUNs", "json": "JSON", "r2t": "R2T", "rod": "ROD"}
_UNITS = {"_BYTES_PER_S": "bytes/s", "_BYTES": "bytes", "_MS": "ms", "_S": "s"}
"""Units of constants. The end of a constant's name gives the unit."""
_LEFT_OUT = ("_MS", "_S")
"""Endings of constant names that are not part of the shown name, because the unit is shown with the value."""


def describe_limits(config: Config) -> dict[str, list[Limit]]:
    """Return the limits of an array with this configuration, by title of the table."""
    effective = copy_limits_of(config)
    values = {
        (copy_limits, "COMMAND_BUDGET_S"): effective.command_budget_s,
        (copy_limits, "ANSWER_RESERVE_S"): effective.answer_reserve_s,
    }
    found = {
        title: [
            _limit(constant, values.get((module, constant), getattr(module, constant)), reasons.get(constant, ""))
            for module, constants in modules
            for reasons in [reasons_of(module)]
            for constant in constants
        ]
        for title, modules in SHOWN.items()
    }
    last = next(reversed(found.values()))
    last.insert(0, Limit("map memory", _map_memory_bytes(config), "bytes", "the maps of all LUNs and snapshots (map-memory)"))
    last.insert(0, Limit("memory limit", config.memory_limit_bytes, "bytes", "all sessions together (memory-limit)"))
    return found


def describe_memory(config: Config) -> list[MemoryPart]:
    """Return the maximum memory that an array with this configuration uses for each purpose.

    The result does not include the memory of the process itself. It also does not include about 100 bytes for each 4 MiB of
    LUNs and snapshots that contain data.
    """
    maps = MemoryPart("maps", _map_memory_bytes(config), "the places of blocks in the log, until a checkpoint or the next use")
    return [*_session_memory(config), maps, *_other_memory()]


def _map_memory_bytes(config: Config) -> int:
    return config.map_memory_bytes or leaf_memory.DEFAULT_MAP_MEMORY_BYTES


def _session_memory(config: Config) -> list[MemoryPart]:
    """Return the parts of memory that `memory-limit` bounds."""
    budget = memory_division.MemoryBudget(config.memory_limit_bytes)
    return [
        _product("sessions", memory_limits.MAX_SHARES, memory_limits.SESSION_BYTES, "receive buffer, answers, records"),
        _product(
            "discovery sessions",
            iscsi_limits.MAX_DISCOVERY_SESSIONS,
            memory_limits.DISCOVERY_SESSION_BYTES,
            "receive buffer, text",
        ),
        _product("logins", iscsi_limits.MAX_LOGINS, memory_limits.LOGIN_BYTES, "receive buffer, text"),
        MemoryPart(
            "unsolicited data", budget.unsolicited.size_bytes, "arrived with commands that wait, or before an earlier command"
        ),
        MemoryPart("data of writes", budget.written.size_bytes, "requested by R2T, until the command has ended"),
        MemoryPart("data of reads", budget.read.size_bytes, "being read from the disk, or not yet received by the host"),
    ]


def _other_memory() -> list[MemoryPart]:
    """Return the parts of memory that `memory-limit` does not bound."""
    checksums_bytes = segment.MAX_SEGMENT_BLOCKS * checksum_index.CHECKSUM_BYTES
    return [
        _product("tokens", copy_limits.MAX_TOKENS, copy_limits.TOKEN_MEMORY_BYTES, "without the maps that they keep"),
        _product("ended tokens", copy_limits.MAX_TOMBSTONES, copy_limits.TOMBSTONE_MEMORY_BYTES, "causes of their ends"),
        MemoryPart("results of copies", copy_limits.MAX_RECORD_BYTES, "until a host asks for them or they expire"),
        _product(
            "copies", copy_limits.MAX_CONCURRENT_COPIES, copy_limits.COPY_STEP_BYTES, "one step each, if bytes must be copied"
        ),
        _product("reservations", parsing.MAX_LUNS, records.MAX_VALUE_BYTES, "registrations of each LUN"),
        _product("checksums", checksum_index.MAX_TABLES, checksums_bytes, "of segments in use"),
        _product(
            "decompressed extents", extent_cache.MAX_EXTENTS, places.MAX_EXTENT_BLOCKS * BLOCK_BYTES, "of compressed volumes"
        ),
        MemoryPart("compressed writes", compression.MAX_PREPARED_BYTES, "compressed, but not written yet"),
        _product("trace and capture", 2, record_writer.MAX_QUEUED_BYTES, "waiting to be written to the files"),
        _product(
            "management",
            control_server.MAX_CONTROL_CONNECTIONS,
            control_server.MAX_LINE_BYTES,
            "one request for each connection",
        ),
    ]


def _product(name: str, count: int, size_bytes: int, reason: str) -> MemoryPart:
    return MemoryPart(name, count * size_bytes, f"{count:,} of {size_bytes:,} bytes: {reason}")


def _limit(constant: str, value: Number, reason: str) -> Limit:
    end, unit = next(((end, unit) for end, unit in _UNITS.items() if constant.endswith(end)), ("", ""))
    words = (constant.removesuffix(end) if end in _LEFT_OUT else constant).lower().split("_")
    return Limit(" ".join(_ACRONYMS.get(word, word) for word in words), value, unit, reason)
