"""The actions of the steps of an attack on an array. Each takes the attack and the arguments of its step."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odx_target.iscsi.pdu.headers import (
    LogoutRequest,
    NopOut,
    Pdu,
    ScsiCommand,
    ScsiDataOut,
    SnackRequest,
    TaskManagementFunctionRequest,
    TextRequest,
    encode_lun,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG
from tests.copymgr.extended_copy import BlocksSegment, BytesSegment, cscd, lid1_list, lid4_list
from tests.fuzz.array.connection import AttackingConnection
from tests.fuzz.array.served import ATTACKER, CONFIG, ServedArray
from tests.fuzz.values import bytes_of

MAX_SLOTS = 6
MAX_DELAY_S = 200
MAX_DATA_BYTES = 1 << 20
WRITING = {0x04, 0x0A, 0x15, 0x2A, 0xAA, 0x8A, 0x2E, 0xAE, 0x8E, 0x41, 0x93, 0x42, 0x48, 0x89, 0x8B, 0x9C, 0x83}
"""Operation codes of the commands that may change data."""
ROD_TOKEN_INFORMATION_BYTES = 1024
PDUS: Mapping[str, type[Pdu]] = {
    kind.__name__: kind
    for kind in (NopOut, TaskManagementFunctionRequest, TextRequest, LogoutRequest, SnackRequest, ScsiDataOut)
}


@dataclass
class Attack:
    """The connections of one script. `may_write` is True after a command that may change data of a LUN was sent."""

    served: ServedArray
    outcomes: set[str] = field(default_factory=set)
    connections: dict[int, AttackingConnection] = field(default_factory=dict)
    may_write: bool = False
    token: bytes = bytes(512)

    def connection(self, slot: Any) -> AttackingConnection:
        """Return the connection of a slot. If it has ended or does not exist, open it."""
        number = _number(slot, MAX_SLOTS)
        found = self.connections.get(number)
        if found is None or not found.is_open:
            if found is not None:
                found.end("close")
            found = self.connections[number] = AttackingConnection(self.served, number, self.outcomes)
        return found


async def _login(attack: Attack, slot: Any, pairs: Any, overrides: Any) -> None:
    connection = attack.connection(slot)
    given = overrides if isinstance(overrides, dict) else {}
    text = _bytes(given["text"]) if "text" in given else None
    usable = [(str(pair[0]), str(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    names = [("InitiatorName", ATTACKER), ("TargetName", CONFIG.iqn)]
    known = {name for name, _ in usable}
    if given.get("names", True):
        usable = [*(pair for pair in names if pair[0] not in known), *usable]
    await connection.log_in(usable, text, {name: value for name, value in given.items() if name not in ("text", "names")})


async def _logged_in(attack: Attack, slot: Any) -> AttackingConnection:
    """Return the connection of a slot, after a login with usual keys if it has no session yet."""
    connection = attack.connection(slot)
    if connection.last_login is None:
        await _login(attack, slot, [["InitialR2T", "No"], ["MaxOutstandingR2T", "4"], ["HeaderDigest", "None"]], {})
    return connection


async def _pdu(attack: Attack, slot: Any, name: Any, overrides: Any, data: Any, extra: Any = None) -> None:
    connection = await _logged_in(attack, slot)
    kind = PDUS.get(str(name), NopOut)
    given = dict(overrides) if isinstance(overrides, dict) else {}
    if kind is TaskManagementFunctionRequest:
        attack.served.has_cold_reset = True
    more = extra if isinstance(extra, dict) else {}
    await connection.send(kind(), _bytes(data), _bytes(more.get("ahs", "")), str(more.get("wrong", "")), **given)


async def _scsi(attack: Attack, slot: Any, lun: Any, cdb: Any, options: Any, data: Any = "") -> None:
    """Send a SCSI command. "in" and "out" are the expected lengths; "send" is the part of the data that comes at once."""
    connection = await _logged_in(attack, slot)
    given = dict(options) if isinstance(options, dict) else {}
    command, payload = _bytes(cdb).ljust(16, b"\0"), _bytes(data)
    if command[0] in WRITING:
        attack.may_write = True
    count_in = _number(given.pop("in", 0), 1 << 32)
    count_out = _number(given.pop("out", len(payload)), 1 << 32)
    at_once = _number(given.pop("send", len(payload)), MAX_DATA_BYTES)
    additional = _bytes(given.pop("ahs", ""))
    if len(command) > 16 and not additional:
        rest = command[16:260]
        additional = (len(rest) + 1).to_bytes(2, "big") + b"\x01\x00" + rest
    wrong = str(given.pop("wrong", ""))
    pdu = ScsiCommand(
        read=bool(count_in),
        write=bool(count_out) and not count_in,
        attribute=_number(given.pop("attribute", 1), 8),
        lun=encode_lun(_number(lun, 0x4000)),
        expected_data_transfer_length=count_in or count_out,
        cdb=command[:16],
    )
    await connection.send(pdu, payload[:at_once], additional, wrong, **given)
    if at_once < len(payload) or count_out > len(payload):
        await _answer_r2ts(connection, payload)


async def _answer_r2ts(connection: AttackingConnection, payload: bytes) -> None:
    while connection.r2ts and connection.is_open:
        r2t = connection.r2ts.pop(0)
        size = min(r2t.desired_data_transfer_length, MAX_DATA_BYTES)
        data = payload[r2t.buffer_offset : r2t.buffer_offset + size].ljust(size, b"\xda")
        await _send_data(connection, r2t.initiator_task_tag, r2t.target_transfer_tag, r2t.buffer_offset, data, {})


async def _send_data(
    connection: AttackingConnection, tag: int, transfer_tag: int, offset: int, data: bytes, overrides: Mapping[str, Any]
) -> None:
    command = connection.checker.commands.get(tag)
    if command is not None:
        command.open_r2ts = [each for each in command.open_r2ts if each.target_transfer_tag != transfer_tag]
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)] or [b""]
    for number, piece in enumerate(pieces):
        pdu = ScsiDataOut(
            final=number == len(pieces) - 1,
            initiator_task_tag=tag,
            target_transfer_tag=transfer_tag,
            data_sn=number,
            buffer_offset=(offset + number * 65536) & 0xFFFFFFFF,
        )
        await connection.send(pdu, piece, b"", **overrides)


async def _data(attack: Attack, slot: Any, which: Any, change: Any) -> None:
    """Answer an R2T: rightly, or with another offset, length, tag or flag."""
    connection = attack.connection(slot)
    given = dict(change) if isinstance(change, dict) else {}
    if connection.r2ts:
        r2t = connection.r2ts.pop(_number(which, len(connection.r2ts)))
        tag, transfer_tag, offset = r2t.initiator_task_tag, r2t.target_transfer_tag, r2t.buffer_offset
        size = min(r2t.desired_data_transfer_length, MAX_DATA_BYTES)
    else:
        tag, transfer_tag, offset, size = next(iter(connection.checker.commands), 1), NO_TAG, 0, 512
    size = _number(given.pop("size", size), MAX_DATA_BYTES)
    offset += _number(given.pop("shift", 0), 1 << 32)
    attack.may_write = True
    await _send_data(connection, tag, transfer_tag, offset, b"\xdb" * size, given)


async def _raw(attack: Attack, slot: Any, raw: Any) -> None:
    attack.may_write = attack.served.has_cold_reset = True
    connection = attack.connection(slot)
    connection.checker.is_strict = False
    await connection.send_raw(_bytes(raw))


async def _populate(attack: Attack, slot: Any, lun: Any, identifier: Any, ranges: Any, patches: Any = None) -> None:
    """Send POPULATE TOKEN, and fetch the token. `patches` change bytes of the parameter list."""
    descriptors = _ranges(ranges)
    head = bytearray(16)
    head[0:2], head[2:4] = (14 + len(descriptors)).to_bytes(2, "big"), b"\0\0"
    head[14:16] = len(descriptors).to_bytes(2, "big")
    content = _patched(bytes(head) + descriptors, patches)
    await _copy_command(attack, slot, lun, 0x10, identifier, content)
    name = _number(identifier, 1 << 32).to_bytes(4, "big")
    cdb = bytes((0x84, 0x07)) + name + bytes(4) + ROD_TOKEN_INFORMATION_BYTES.to_bytes(4, "big") + bytes(2)
    connection = attack.connection(slot)
    connection.last_data = b""
    await _scsi(attack, slot, lun, cdb.hex(), {"in": ROD_TOKEN_INFORMATION_BYTES})
    data = connection.last_data
    sense_bytes = data[13] if len(data) > 13 else 0
    at = 32 + sense_bytes + 4 + 2
    if len(data) >= at + 512:
        attack.token = data[at : at + 512]


async def _use(attack: Attack, slot: Any, lun: Any, identifier: Any, ranges: Any, changes: Any, patches: Any = None) -> None:
    """Send WRITE USING TOKEN with the last token. `changes` change bytes of the token, `patches` those of the list."""
    descriptors = _ranges(ranges)
    head = bytearray(536)
    head[0:2] = (534 + len(descriptors)).to_bytes(2, "big")
    head[16:528] = _patched(attack.token, changes)[:512].ljust(512, b"\0")
    head[534:536] = len(descriptors).to_bytes(2, "big")
    await _copy_command(attack, slot, lun, 0x11, identifier, _patched(bytes(head) + descriptors, patches))


async def _copy_command(attack: Attack, slot: Any, lun: Any, action: int, identifier: Any, content: bytes) -> None:
    name = _number(identifier, 1 << 32).to_bytes(4, "big")
    cdb = bytes((0x83, action)) + bytes(4) + name + len(content).to_bytes(4, "big") + bytes(2)
    await _scsi(attack, slot, lun, cdb.hex(), {}, content.hex())


async def _extended_copy(attack: Attack, slot: Any, lun: Any, segments: Any, options: Any) -> None:
    """Send EXTENDED COPY with CSCD descriptors of the logical units of the attacker."""
    given = options if isinstance(options, dict) else {}
    units = attack.served.array.logical_units
    cscds = [cscd(unit.identity, block_bytes=unit.block_bytes) for unit in units.values()]
    built = [_segment(each) for each in segments if isinstance(each, list)] if isinstance(segments, list) else []
    identifier, usage = _number(given.get("identifier", 7), 256), _number(given.get("usage", 0), 4)
    if given.get("lid4"):
        content = lid4_list(cscds, built, identifier=identifier, usage=usage)
    else:
        content = lid1_list(cscds, built, identifier=identifier, usage=usage, inline=_bytes(given.get("inline", "")))
    content = _patched(content, given.get("patches"))
    cdb = bytes((0x83, 1 if given.get("lid4") else 0)) + bytes(8) + len(content).to_bytes(4, "big") + bytes(2)
    await _scsi(attack, slot, lun, cdb.hex(), {}, content.hex())


def _segment(numbers: list[Any]) -> bytes:
    kind, source, source_lba, destination, destination_lba, count = [_number(each, 1 << 64) for each in (numbers + [0] * 6)[:6]]
    if kind % 2:
        return BytesSegment(
            source & 0xFFFF, source_lba, kind & 0xFF, destination & 0xFFFF, destination_lba, 0, count & 0xFFFFFFFF
        ).build()
    return BlocksSegment(source & 0xFFFF, source_lba, destination & 0xFFFF, destination_lba, count & 0xFFFF).build()


async def _time(attack: Attack, delay_s: Any) -> None:
    await attack.served.advance(_number(delay_s, MAX_DELAY_S))
    for connection in attack.connections.values():
        connection.receive()


async def _end(attack: Attack, slot: Any, how: Any) -> None:
    attack.connection(slot).end(str(how))
    await attack.served.settle()


async def _reads(attack: Attack, slot: Any, reads: Any) -> None:
    connection = attack.connection(slot)
    connection.reads = bool(reads)
    connection.receive()
    await attack.served.settle()


ACTIONS: Mapping[str, Callable[..., Awaitable[None]]] = {
    "login": _login,
    "pdu": _pdu,
    "scsi": _scsi,
    "data": _data,
    "raw": _raw,
    "populate": _populate,
    "use": _use,
    "extended copy": _extended_copy,
    "time": _time,
    "end": _end,
    "reads": _reads,
}


def _number(value: Any, end: int) -> int:
    """Return a number from 0 to end - 1 for any value."""
    return int(value) % max(end, 1) if isinstance(value, int | float) else 0


def _bytes(value: Any) -> bytes:
    return bytes_of(value)[:MAX_DATA_BYTES]


def _ranges(ranges: Any) -> bytes:
    pairs = [each for each in ranges if isinstance(each, list) and len(each) == 2] if isinstance(ranges, list) else []
    return b"".join(
        _number(lba, 1 << 64).to_bytes(8, "big") + _number(count, 1 << 32).to_bytes(4, "big") + bytes(4) for lba, count in pairs
    )


def _patched(content: bytes, patches: Any) -> bytes:
    """Return `content` after an exclusive or of some bytes. A patch is a pair: offset and value."""
    changed = bytearray(content)
    for patch in patches if isinstance(patches, list) else []:
        if isinstance(patch, list) and len(patch) == 2 and changed:
            changed[_number(patch[0], len(changed))] ^= _number(patch[1], 256)
    return bytes(changed)
