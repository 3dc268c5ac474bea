"""The limits of an array that an operator or a host can meet, and the memory that they allow in the worst case.

The values are constants of the modules that apply them. This module has only the list, in the order in which it is shown, and a
short reason for each limit; the modules give the long reasons.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

from odx_target.copymgr import limits as copy_limits
from odx_target.copymgr.operations import copy_rate
from odx_target.iscsi import limits as iscsi_limits
from odx_target.scsi import limits as scsi_limits
from odx_target.store import troubles
from odx_target.store.log import checksum_index, records
from odx_target.store.segments import segment
from odx_target.target import file_descriptors
from odx_target.target.config import chap, settings, toml_file
from odx_target.target.config.copy_settings import copy_limits_of
from odx_target.target.config.settings import Config
from odx_target.target.control import server as control_server
from odx_target.target.server import memory_budget
from odx_target.target.trace import pcapng, record_writer

Number = int | float


class Limit(NamedTuple):
    """A limit to show; `unit` is the unit of `value`: "bytes", "bytes/s", "s", "ms", or "" for a count."""

    name: str
    value: Number
    unit: str
    reason: str


class MemoryPart(NamedTuple):
    """The most memory that is used for one purpose."""

    name: str
    size_bytes: int
    reason: str


SHOWN: Mapping[str, tuple[tuple[ModuleType, Mapping[str, str]], ...]] = {
    "sessions and connections": (
        (
            iscsi_limits,
            {
                "MAX_CONNECTIONS": "normal sessions in all; each costs a receive buffer and a share of the memory",
                "MAX_DISCOVERY_SESSIONS": "discovery sessions in all, so that they keep no host out",
                "MAX_LOGINS": "connections that have not logged in; past it the oldest of them is closed",
                "COMMAND_WINDOW": "commands that one session may have under way (MaxCmdSN)",
                "MAX_IMMEDIATE_COMMANDS": "immediate commands of a session, which the window does not count",
                "MAX_CDB_BYTES": "the longest CDB that SPC-4 allows",
                "MAX_RECV_DATA_SEGMENT_BYTES": "MaxRecvDataSegmentLength: the largest command that Windows makes",
                "MAX_FIRST_BURST_BYTES": "FirstBurstLength: data that comes unasked, as much as one PDU brings",
                "MAX_BURST_BYTES": "MaxBurstLength: what one R2T asks for",
                "MAX_OUTSTANDING_R2T": "R2Ts open for one command",
                "MAX_COLLECTED_BYTES": "write data that one connection has asked for: two of the largest commands",
                "MAX_HELD_BYTES": "commands held, with their data, while an earlier CmdSN is missing",
                "MAX_UNSENT_ANSWER_BYTES": "answers to pings and the like that are made before they are sent",
                "LOGIN_TIMEOUT_S": "from the connection to the end of the login",
                "PING_AFTER_IDLE_S": "a connection that is silent for so long is pinged",
                "PING_TIMEOUT_S": "silence after a ping that ends the connection",
                "DATA_OUT_TIMEOUT_S": "a host that sends none of the data it was asked for loses its session",
                "DISCOVERY_IDLE_S": "a discovery session that is silent for so long is closed",
                "LOGOUT_TIME_S": "for initiators to log out when the array stops",
            },
        ),
        (
            file_descriptors,
            {
                "MIN_SOCKETS": "sockets of hosts that the file descriptors must suffice for, or `serve` does not start",
                "MAX_SOCKETS": "sockets of hosts, as far as there are file descriptors",
                "MIN_SEGMENTS": "segments held open that the file descriptors must suffice for",
                "MAX_SEGMENTS": "segments held open, as far as there are file descriptors",
            },
        ),
    ),
    "commands": (
        (
            scsi_limits,
            {
                "MAX_TRANSFER_BYTES": "one READ or WRITE, which is held in memory as a whole",
                "OPTIMAL_TRANSFER_BYTES": "a longer transfer gains nothing",
                "MAX_UNMAP_BYTES": "one UNMAP: some milliseconds in one go",
                "MAX_UNMAP_DESCRIPTORS": "ranges of one UNMAP: a parameter list of 4 KiB",
                "MAX_WRITE_SAME_BYTES": "one WRITE SAME: about a second where the pattern is not zeros",
                "MAX_COMPARE_AND_WRITE_BYTES": "one COMPARE AND WRITE, which is done in one go",
                "MAX_ATOMIC_TRANSFER_BYTES": "one WRITE ATOMIC: more than databases ask for",
                "MAX_LBA_STATUS_DESCRIPTORS": "extents of one answer to GET LBA STATUS",
                "MAX_TASKS": "tasks of a logical unit that wait; past it TASK SET FULL",
                "MAX_REGISTRATIONS": "persistent reservations: I_T nexuses registered with a logical unit",
                "MAX_RESERVE_OUT_BYTES": "a parameter list of PERSISTENT RESERVE OUT",
                "THRESHOLD_SET_BYTES": "the unit in which used and available room is reported",
            },
        ),
    ),
    "copy by token": (
        (
            copy_limits,
            {
                "MAX_TOKENS": "tokens alive; past it POPULATE TOKEN is refused",
                "MAX_CHANGE_VULNERABLE_TOKENS": "change vulnerable tokens of a logical unit: a write looks at all",
                "MAX_RANGE_DESCRIPTORS": "ranges of one command: as many as Windows sends",
                "MAX_ROD_BYTES": "what one token stands for, and what one command writes",
                "MAX_RANGE_BYTES": "one range: no less than a whole command",
                "OPTIMAL_TRANSFER_BYTES": "the chunk of the Windows copy engine",
                "MIN_INACTIVITY_TIMEOUT_S": "a shorter timeout that is asked for becomes this",
                "DEFAULT_INACTIVITY_TIMEOUT_S": "a token that is not used ends: longer than a path failure takes",
                "MAX_INACTIVITY_TIMEOUT_S": "the longest timeout that a host may ask for",
                "MAX_TOKEN_LIFETIME_S": "a token ends however often it is used: it keeps overwritten blocks",
                "COMMAND_BUDGET_S": "WRITE USING TOKEN ends with a partial result before it (copy-budget)",
                "ANSWER_RESERVE_S": "the part of that which is kept for the commit and the answer",
                "MIN_TOMBSTONE_S": "for how long the cause of a token's end is remembered, at least",
                "MAX_TOMBSTONES": "causes remembered; the oldest go first",
                "MAX_RECORDS_PER_NEXUS": "results of copies kept for one I_T nexus",
                "MAX_RECORD_BYTES": "results of copies kept for all of them",
                "RECORD_LIFETIME_S": "for how long a host can ask for the result of a copy",
                "MAX_CONCURRENT_COPIES": "token commands under way, those of all hosts",
                "STATUS_UPDATE_DELAY_MS": "asking for progress more often shows nothing new",
            },
        ),
        (
            copy_rate,
            {
                "MIN_COPY_RATE_BYTES_PER_S": "the smallest copy-rate: a block for each step",
                "MAX_COPY_RATE_BYTES_PER_S": "the largest copy-rate: more than any machine does",
            },
        ),
    ),
    "pool and LUNs": (
        (
            settings,
            {
                "MAX_LUNS": "LUNs of a pool: they are addressed by one byte",
                "MAX_LUN_BYTES": "the size of a LUN: far inside what READ CAPACITY can report",
                "MAX_LUN_NAME_CHARACTERS": "the name of a LUN fits a line of the log",
                "MIN_POOL_LIMIT_BYTES": "the smallest pool-limit: two of the smallest segments",
            },
        ),
        (segment, {"MAX_SEGMENT_BLOCKS": "blocks of 4 KiB in a segment, by which the log grows"}),
        (checksum_index, {"MAX_TABLES": "segments whose checksums stay in memory; others are read when needed"}),
        (troubles, {"MAX_DAMAGED_PLACES": "damaged blocks that are listed one by one"}),
    ),
    "memory and settings": (
        (
            memory_budget,
            {
                "MIN_MEMORY_BYTES": "the smallest memory-limit: room for one of the largest commands",
                "MAX_MEMORY_BYTES": "the largest memory-limit",
            },
        ),
        (toml_file, {"MAX_FILE_BYTES": "a larger configuration file is refused", "MAX_KEY_PARTS": "parts of a key in it"}),
        (
            chap,
            {
                "MIN_SECRET_BYTES": "a CHAP secret: RFC 7143 asks for 96 bits",
                "MAX_SECRET_BYTES": "a CHAP secret: more than initiators take",
                "MAX_USER_BYTES": "the name of a CHAP user",
                "MAX_USERS": "CHAP users: more than hosts",
                "MAX_SECRET_FILE_BYTES": "a larger secret file is refused",
            },
        ),
        (
            control_server,
            {
                "MAX_CONTROL_CONNECTIONS": "connections to the control socket",
                "MAX_LINE_BYTES": "a request to it",
                "IDLE_TIMEOUT_S": "for a client of it to send its next request",
            },
        ),
        (
            pcapng,
            {
                "MIN_SNAP_BYTES": "the smallest pcap-snap-length",
                "MAX_SNAP_BYTES": "the largest, and the default",
            },
        ),
        (record_writer, {"MAX_QUEUED_BYTES": "of a trace or capture whose file is slow; what comes then is left out"}),
    ),
}
"""Reasons of limits, by title of the table, module and constant."""

NOT_SHOWN: Mapping[tuple[ModuleType, str], str] = {
    (iscsi_limits, "MAX_TRANSFER_BYTES"): "the same as the largest READ or WRITE, which is shown",
    (copy_limits, "MAX_NAMEABLE_RANGE_DESCRIPTORS"): "what a field of the standard has room for; far more than is allowed",
    (file_descriptors, "MIN_READS"): "descriptors that the array uses by itself",
    (file_descriptors, "MAX_READS"): "descriptors that the array uses by itself",
    (settings, "MAX_PORT"): "a rule of TCP",
    (settings, "MAX_PORT_DIGITS"): "a rule of TCP",
    (segment, "MIN_SEGMENT_BLOCKS"): "segments this small are made by tests only",
    (memory_budget, "MAX_SHARES"): "follows from the number of sessions",
    (memory_budget, "MIN_GUARANTEED_BYTES"): "follows from the first burst",
    (memory_budget, "MIN_UNSOLICITED_BYTES"): "follows from the first burst and the number of sessions",
}
"""Limits of the same modules that are not shown, because no operator or host meets them directly, with the reason."""

_ACRONYMS = {"cdb": "CDB", "lba": "LBA", "lun": "LUN", "luns": "LUNs", "r2t": "R2T", "rod": "ROD"}
_UNITS = {"_BYTES_PER_S": "bytes/s", "_BYTES": "bytes", "_MS": "ms", "_S": "s"}
"""Units by the end of a constant's name."""
_LEFT_OUT = ("_MS", "_S")
"""Ends of constants that are not shown, because the unit of the value says the same."""


def describe_limits(config: Config) -> dict[str, list[Limit]]:
    """Return the limits of an array with this configuration, by title of the table."""
    effective = copy_limits_of(config)
    values = {
        (copy_limits, "COMMAND_BUDGET_S"): effective.command_budget_s,
        (copy_limits, "ANSWER_RESERVE_S"): effective.answer_reserve_s,
    }
    found = {
        title: [
            _limit(constant, values.get((module, constant), getattr(module, constant)), reason)
            for module, reasons in modules
            for constant, reason in reasons.items()
        ]
        for title, modules in SHOWN.items()
    }
    last = next(reversed(found.values()))
    last.insert(0, Limit("memory limit", config.memory_limit_bytes, "bytes", "all sessions together (memory-limit)"))
    return found


def describe_memory(config: Config) -> list[MemoryPart]:
    """Return the memory that the limits allow an array with this configuration, by purpose.

    In addition there are the process itself and the map of blocks, which grows with written data.
    """
    return [*_session_memory(config), *_other_memory()]


def _session_memory(config: Config) -> list[MemoryPart]:
    """Return the parts of memory that `memory-limit` bounds."""
    budget = memory_budget.MemoryBudget(config.memory_limit_bytes)
    return [
        _product("sessions", memory_budget.MAX_SHARES, memory_budget.SESSION_BYTES, "receive buffer, answers, records"),
        _product(
            "discovery sessions",
            iscsi_limits.MAX_DISCOVERY_SESSIONS,
            memory_budget.DISCOVERY_SESSION_BYTES,
            "receive buffer, text",
        ),
        _product("logins", iscsi_limits.MAX_LOGINS, memory_budget.LOGIN_BYTES, "receive buffer, text"),
        MemoryPart("unsolicited data", budget.unsolicited.size_bytes, "came with commands that have to wait, or early"),
        MemoryPart("data of writes", budget.written.size_bytes, "asked for by R2T, until the command has ended"),
        MemoryPart("data of reads", budget.read.size_bytes, "on its way from the disk, or not taken by the host"),
    ]


def _other_memory() -> list[MemoryPart]:
    """Return the parts of memory that `memory-limit` does not bound."""
    checksums_bytes = segment.MAX_SEGMENT_BLOCKS * checksum_index.CHECKSUM_BYTES
    return [
        _product("tokens", copy_limits.MAX_TOKENS, copy_limits.TOKEN_MEMORY_BYTES, "beside the maps they keep"),
        _product("ended tokens", copy_limits.MAX_TOMBSTONES, copy_limits.TOMBSTONE_MEMORY_BYTES, "why they ended"),
        MemoryPart("results of copies", copy_limits.MAX_RECORD_BYTES, "until a host asks for them or time is over"),
        _product(
            "copies", copy_limits.MAX_CONCURRENT_COPIES, copy_limits.COPY_STEP_BYTES, "a step each, where bytes must move"
        ),
        _product("reservations", settings.MAX_LUNS, records.MAX_VALUE_BYTES, "registrations of each LUN"),
        _product("checksums", checksum_index.MAX_TABLES, checksums_bytes, "of segments in use"),
        _product("trace and capture", 2, record_writer.MAX_QUEUED_BYTES, "on the way to the files"),
        _product(
            "management", control_server.MAX_CONTROL_CONNECTIONS, control_server.MAX_LINE_BYTES, "requests, one a connection"
        ),
    ]


def _product(name: str, count: int, size_bytes: int, reason: str) -> MemoryPart:
    return MemoryPart(name, count * size_bytes, f"{count:,} of {size_bytes:,} bytes: {reason}")


def _limit(constant: str, value: Number, reason: str) -> Limit:
    end, unit = next(((end, unit) for end, unit in _UNITS.items() if constant.endswith(end)), ("", ""))
    words = (constant.removesuffix(end) if end in _LEFT_OUT else constant).lower().split("_")
    return Limit(" ".join(_ACRONYMS.get(word, word) for word in words), value, unit, reason)
