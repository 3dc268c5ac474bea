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
from odx_target.target.config import chap, parsing, toml_file
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
    """Maximum memory that is used for one purpose."""

    name: str
    size_bytes: int
    reason: str


SHOWN: Mapping[str, tuple[tuple[ModuleType, Mapping[str, str]], ...]] = {
    "sessions and connections": (
        (
            iscsi_limits,
            {
                "MAX_CONNECTIONS": "normal sessions in all; each costs a receive buffer and a share of the memory",
                "MAX_DISCOVERY_SESSIONS": "discovery sessions in all, limited by themselves so that they keep no host out",
                "MAX_LOGINS": "connections that have not logged in; beyond it the oldest is closed",
                "COMMAND_WINDOW": "commands that one session may have under way (MaxCmdSN)",
                "MAX_IMMEDIATE_COMMANDS": "immediate commands of a session, which the window does not count",
                "MAX_CDB_BYTES": "the longest CDB that SPC-4 allows",
                "MAX_RECV_DATA_SEGMENT_BYTES": "MaxRecvDataSegmentLength: the largest command that Windows makes",
                "MAX_FIRST_BURST_BYTES": "FirstBurstLength: unsolicited data, as much as one PDU carries",
                "MAX_BURST_BYTES": "MaxBurstLength: data that one R2T asks for",
                "MAX_OUTSTANDING_R2T": "R2Ts open for one command",
                "MAX_COLLECTED_BYTES": "write data requested by R2T on one connection: two of the largest commands",
                "MAX_HELD_BYTES": "commands held, with their data, while an earlier CmdSN is missing",
                "MAX_UNSENT_ANSWER_BYTES": "answers to pings and similar requests that wait to be sent",
                "LOGIN_TIMEOUT_S": "time from the connection to the end of the login",
                "PING_AFTER_IDLE_S": "a connection that is silent for this time is pinged",
                "PING_TIMEOUT_S": "a connection that is silent for this time after a ping is closed",
                "DATA_OUT_TIMEOUT_S": "the session ends if requested data does not arrive for this time",
                "DISCOVERY_IDLE_S": "a discovery session that is silent for this time is closed",
                "LOGOUT_TIME_S": "time for initiators to log out when the array stops",
            },
        ),
        (
            file_descriptors,
            {
                "MIN_SOCKETS": "sockets of hosts; with fewer file descriptors `serve` does not start",
                "MAX_SOCKETS": "sockets of hosts, if there are enough file descriptors",
                "MIN_SEGMENTS": "open segments; with fewer file descriptors `serve` does not start",
                "MAX_SEGMENTS": "open segments, if there are enough file descriptors",
            },
        ),
    ),
    "commands": (
        (
            scsi_limits,
            {
                "MAX_TRANSFER_BYTES": "one READ or WRITE, which is held in memory as a whole",
                "OPTIMAL_TRANSFER_BYTES": "a longer transfer gains nothing",
                "MAX_UNMAP_BYTES": "one UNMAP, which takes some milliseconds without a pause",
                "MAX_UNMAP_DESCRIPTORS": "ranges of one UNMAP: a parameter list of 4 KiB",
                "MAX_WRITE_SAME_BYTES": "one WRITE SAME: about a second if the pattern is not zeros",
                "MAX_COMPARE_AND_WRITE_BYTES": "one COMPARE AND WRITE, which is done without a pause",
                "MAX_ATOMIC_TRANSFER_BYTES": "one WRITE ATOMIC: more than databases ask for",
                "MAX_LBA_STATUS_DESCRIPTORS": "extents of one answer to GET LBA STATUS",
                "MAX_TASKS": "waiting tasks of a logical unit; beyond it TASK SET FULL",
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
                "MAX_TOKENS": "valid tokens; beyond it POPULATE TOKEN is refused",
                "MAX_CHANGE_VULNERABLE_TOKENS": "change vulnerable tokens of a logical unit: each write checks all of them",
                "MAX_RANGE_DESCRIPTORS": "ranges of one command: as many as Windows sends",
                "MAX_ROD_BYTES": "data of one token, and data that one command writes",
                "MAX_RANGE_BYTES": "one range: as long as a whole command",
                "OPTIMAL_TRANSFER_BYTES": "the chunk of the Windows copy engine",
                "MIN_INACTIVITY_TIMEOUT_S": "a host that requests a shorter timeout gets this one",
                "DEFAULT_INACTIVITY_TIMEOUT_S": "a token ends if it is not used for this time: longer than a path failure",
                "MAX_INACTIVITY_TIMEOUT_S": "the longest timeout that a host may ask for",
                "MAX_TOKEN_LIFETIME_S": "a token ends even if it is in use, because it keeps overwritten blocks",
                "COMMAND_BUDGET_S": "WRITE USING TOKEN ends before this time, perhaps with a partial result (copy-budget)",
                "ANSWER_RESERVE_S": "part of the command budget that is kept for commit and answer",
                "MIN_TOMBSTONE_S": "shortest time for which the cause of a token's end is kept",
                "MAX_TOMBSTONES": "causes of ended tokens that are kept; beyond it the oldest is dropped",
                "MAX_RECORDS_PER_NEXUS": "results of copies kept for one I_T nexus",
                "MAX_RECORD_BYTES": "results of copies kept for all I_T nexuses",
                "RECORD_LIFETIME_S": "for how long a host can ask for the result of a copy",
                "MAX_CONCURRENT_COPIES": "token commands of all hosts that are under way",
                "STATUS_UPDATE_DELAY_MS": "a host that asks for progress more often gets nothing new",
            },
        ),
        (
            copy_rate,
            {
                "MIN_COPY_RATE_BYTES_PER_S": "the smallest copy-rate: one block for each step of a copy",
                "MAX_COPY_RATE_BYTES_PER_S": "the largest copy-rate: more than any machine reaches",
            },
        ),
    ),
    "pool and LUNs": (
        (
            parsing,
            {
                "MAX_LUNS": "LUNs of a pool: they are addressed by one byte",
                "MAX_LUN_BYTES": "the size of a LUN: far inside what READ CAPACITY can report",
                "MAX_LUN_NAME_CHARACTERS": "the longest name of a LUN: it fits a line of the log",
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
        (
            toml_file,
            {"MAX_FILE_BYTES": "a larger configuration file is refused", "MAX_KEY_PARTS": "parts of a key in the file"},
        ),
        (
            chap,
            {
                "MIN_SECRET_BYTES": "the shortest CHAP secret: RFC 7143 asks for 96 bits",
                "MAX_SECRET_BYTES": "the longest CHAP secret: longer than initiators accept",
                "MAX_USER_BYTES": "the longest name of a CHAP user",
                "MAX_USERS": "CHAP users: more than there are hosts",
                "MAX_SECRET_FILE_BYTES": "a larger secret file is refused",
            },
        ),
        (
            control_server,
            {
                "MAX_CONTROL_CONNECTIONS": "connections to the control socket",
                "MAX_LINE_BYTES": "a request to the control socket",
                "IDLE_TIMEOUT_S": "time for a client of the control socket to send its next request",
            },
        ),
        (
            pcapng,
            {
                "MIN_SNAP_BYTES": "the smallest pcap-snap-length",
                "MAX_SNAP_BYTES": "the largest pcap-snap-length, and the default",
            },
        ),
        (record_writer, {"MAX_QUEUED_BYTES": "waiting data of a trace or capture; beyond it data is left out"}),
    ),
}
"""Reasons of limits, by title of the table, module and constant."""

NOT_SHOWN: Mapping[tuple[ModuleType, str], str] = {
    (iscsi_limits, "MAX_TRANSFER_BYTES"): "the same as the largest READ or WRITE, which is shown",
    (copy_limits, "MAX_NAMEABLE_RANGE_DESCRIPTORS"): "the most that a field of the standard can hold; far more than is allowed",
    (file_descriptors, "MIN_READS"): "descriptors that the array uses by itself",
    (file_descriptors, "MAX_READS"): "descriptors that the array uses by itself",
    (parsing, "MAX_PORT"): "a rule of TCP",
    (parsing, "MAX_PORT_DIGITS"): "a rule of TCP",
    (segment, "MIN_SEGMENT_BLOCKS"): "segments this small are made by tests only",
    (memory_budget, "MAX_SHARES"): "follows from the number of sessions",
    (memory_budget, "MIN_GUARANTEED_BYTES"): "follows from the first burst",
    (memory_budget, "MIN_UNSOLICITED_BYTES"): "follows from the first burst and the number of sessions",
}
"""Limits of the same modules that are not shown, and the reasons: no operator or host meets these limits directly."""

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
