"""Random Login Requests and text: keys of every kind, with values at and past their limits."""

from random import Random
from typing import Any

from odx_target.iscsi.negotiation.keys import KEYS
from tests.fuzz.array.served import ATTACKER
from tests.fuzz.surface import Step
from tests.fuzz.values import changed_text, number

NAMES = tuple(key.name for key in KEYS)
VALUES = (
    "Yes",
    "No",
    "None",
    "CRC32C",
    "CRC32C,None",
    "None,CRC32C",
    "CHAP,None",
    "CHAP",
    "Discovery",
    "Normal",
    "?",
    "",
    "NotUnderstood",
    "Reject",
    "Irrelevant",
    "All",
    "0",
    "1",
    "512",
    "8192",
    "65536",
    "16777215",
    "16777216",
    "0x",
    "0xffffffffffffffff",
    "18446744073709551616",
    "5",
    "5,7",
    "RFC3720,FastAbort",
    "0b" + "A" * 40,
    f"{ATTACKER}2",
    "iqn.2026-11.io.odx-target:array",
    "x" * 255,
    "x" * 256,
    "x" * 8300,
)
USUAL = (
    ("HeaderDigest", "CRC32C,None"),
    ("DataDigest", "CRC32C,None"),
    ("InitialR2T", "No"),
    ("ImmediateData", "Yes"),
    ("MaxRecvDataSegmentLength", "262144"),
    ("MaxBurstLength", "262144"),
    ("FirstBurstLength", "65536"),
    ("MaxOutstandingR2T", "8"),
    ("ErrorRecoveryLevel", "0"),
)


def pairs(random: Random) -> list[list[str]]:
    """Return keys and their values: some usual ones, and in some cases others."""
    found = [[name, value] for name, value in USUAL if random.random() < 0.4]
    for _ in range(random.choice((0, 0, 0, 1, 1, 3))):
        found.append([random.choice((*NAMES, "X-odx", "x", "")), random.choice(VALUES)])
    if found and random.randrange(8) == 0:
        row = random.choice(found)
        row[1] = changed_text(random, row[1], VALUES)
    return found


def login(random: Random, slot: int) -> Step:
    overrides: dict[str, Any] = {}
    if random.randrange(3) == 0:
        overrides["current_stage"], overrides["next_stage"] = random.choice(((0, 1), (0, 3), (1, 3), (0, 2), (3, 3), (1, 1)))
        overrides["transit"] = random.random() < 0.7
    if random.randrange(6) == 0:
        name = random.choice(
            ("tsih", "connection_id", "version_max", "version_min", "continued", "cmd_sn", "isid", "immediate")
        )
        overrides[name] = random.randbytes(6).hex() if name == "isid" else number(random, 16)
    if random.randrange(12) == 0:
        overrides["names"] = False
    if random.randrange(12) == 0:
        overrides["text"] = random.choice(("00", "3d00", "413d", "413d4200", "00" * 40, "ff3d00", "41" * 300))
    return ["login", slot, pairs(random), overrides]


def text(random: Random) -> bytes:
    """Return the data of a Text Request."""
    if random.randrange(3) == 0:
        return random.choice((b"SendTargets=All\0", b"SendTargets=\0", b"SendTargets=iqn.2026-11.io.odx-target:array\0"))
    return b"".join(f"{name}={value}\0".encode("utf-8", "surrogatepass") for name, value in pairs(random))
