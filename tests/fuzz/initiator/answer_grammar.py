"""Random steps of a hostile target: keys of a login, requests of the initiator, and answers with wrong fields."""

from collections.abc import Mapping
from random import Random
from typing import Any

from odx_target.initiator.session.options import SessionOptions
from odx_target.iscsi.pdu.headers import PDU_CLASSES, Pdu
from odx_target.iscsi.pdu.opcodes import NO_TAG
from odx_target.iscsi.pdu.text import encode_pairs
from tests.fuzz.array.login_grammar import VALUES, pairs
from tests.fuzz.header_fields import places_of
from tests.fuzz.surface import Script, Step
from tests.fuzz.values import number

TARGET = "iqn.2026-11.test:target"
OUT_BYTES, IN_BYTES = 300_000, 5000
OPTIONS: Mapping[str, SessionOptions] = {
    "plain": SessionOptions(b"\x80\1\2\3\4\5"),
    "digests": SessionOptions(b"\x80\1\2\3\4\5", header_digest=True, data_digest=True),
    "chap": SessionOptions(b"\x80\1\2\3\4\5", user="user", secret="secret-of-user"),
    "mutual chap": SessionOptions(
        b"\x80\1\2\3\4\5",
        user="user",
        secret="secret-of-user",
        target_user="array",
        target_secret="secret-of-array",
        entropy=lambda size: bytes(range(size)),
    ),
}
FIRST_OPCODE_OF_TARGETS = 0x20
PDUS: Mapping[str, type[Pdu]] = {
    kind.__name__: kind for opcode, kind in PDU_CLASSES.items() if opcode >= FIRST_OPCODE_OF_TARGETS
}
SECURITY_KEYS = (
    ("AuthMethod", ("None", "CHAP", "SRP", "", "Reject")),
    ("TargetPortalGroupTag", ("1", "65535", "65536", "x")),
    ("CHAP_A", ("5", "7", "5,7", "0x5", "")),
    ("CHAP_I", ("0", "255", "256", "-1", "x")),
    ("CHAP_C", ("0x" + "ab" * 16, "0x" + "ab" * 1024, "0x" + "ab" * 1025, "0bAAAA", "0x", "0b====", "0xz", "1")),
    ("CHAP_N", ("array", "", "x" * 300)),
    ("CHAP_R", ("0x" + "00" * 16, "0x00", "0b", "0x" + "00" * 2000)),
    ("TargetAddress", ("10.0.0.1:3260,1", "[::1]", ":", "x" * 5000, "10.0.0.1:99999", "a b", "\x1b[2J")),
    ("TargetAlias", ("alias", "\n", "x" * 300)),
    ("TargetName", (TARGET, "../../etc", "iqn.x\nnode.startup = automatic", "\x1b]0;x\x07")),
)


def new_script(random: Random) -> Script:
    script: Script = [["begin", random.choice(sorted(OPTIONS)), random.random() < 0.2]]
    if random.randrange(4):
        script += [["agree", [], {}], ["agree", [], {}]]
    return [*script, *(new_step(random) for _ in range(random.choice((1, 2, 4, 8))))]


def new_step(random: Random) -> Step:
    kind = random.randrange(12)
    if kind < 2:
        return ["agree", _login_keys(random), _login_fields(random)]
    if kind < 4:
        name = random.choice(("command", "command", "ping", "text", "task", "logout"))
        return [name, random.choice((0, 1, OUT_BYTES)), random.choice((0, 0, IN_BYTES))]
    if kind == 4:
        return ["raw", random.randbytes(random.choice((1, 48, 60, 100))).hex()]
    return _answer(random)


def _login_keys(random: Random) -> list[list[str]]:
    found = [[name, random.choice(values)] for name, values in SECURITY_KEYS if random.random() < 0.2]
    return found + (pairs(random) if random.randrange(2) else [])


def _login_fields(random: Random) -> dict[str, Any]:
    if random.randrange(2):
        return {}
    name = random.choice(("status", "transit", "continued", "next_stage", "current_stage", "tsih", "version_active", "stat_sn"))
    value = random.choice((0, 1, 2, 3, 0x0101, 0x0102, 0x0201, 0x0300, number(random, 16)))
    return {name: value}


def _answer(random: Random) -> Step:
    name = random.choice(sorted(PDUS))
    overrides: dict[str, Any] = {}
    for _ in range(random.choice((0, 1, 1, 2))):
        overrides[random.choice(list(places_of(PDUS[name])))] = number(random)
    data = b""
    if name == "ScsiDataIn":
        data = bytes(random.choice((0, 1, 512, IN_BYTES, IN_BYTES + 1)))
        overrides.setdefault("has_status", random.randrange(2))
    elif name == "ReadyToTransfer":
        overrides.setdefault("desired_data_transfer_length", random.choice((1, 512, 65536, OUT_BYTES, OUT_BYTES + 1, 1 << 31)))
    elif name == "ScsiResponse":
        overrides.setdefault("status", random.choice((0, 2, 2, 8, 0x18, 0x28)))
        data = random.choice((b"", b"\0", b"\0\x12" + bytes(18), b"\xff\xff\x70", b"\0\1\2", b"\0\x08\x72" + bytes(7)))
    elif name == "TextResponse":
        keys = [("TargetName", random.choice(SECURITY_KEYS[-1][1])), ("TargetAddress", random.choice(VALUES))]
        data = encode_pairs(keys[: random.randrange(3)])
        overrides.setdefault("final", random.randrange(4) > 0)
    elif name == "Reject":
        data = bytes(16) + random.choice((1, 2, 3, NO_TAG)).to_bytes(4, "big") + bytes(28)
        data = data[: random.choice((0, 20, 48, 48))]
    return ["answer", name, overrides, data.hex()]
