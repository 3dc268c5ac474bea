"""Random steps and scripts of attacks on an array."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from tests.fuzz.array import login_grammar
from tests.fuzz.array.cdb_grammar import cdb
from tests.fuzz.array.list_grammar import parameter_list
from tests.fuzz.surface import Script, Step
from tests.fuzz.values import number

DATA_IN = {
    0x03,
    0x08,
    0x12,
    0x1A,
    0x1C,
    0x25,
    0x28,
    0x37,
    0x3C,
    0x4D,
    0x5A,
    0x5E,
    0x84,
    0x88,
    0x9B,
    0x9E,
    0xA0,
    0xA3,
    0xA8,
    0xAB,
    0xB7,
}
DATA_OUT = {
    0x04,
    0x0A,
    0x15,
    0x1D,
    0x2A,
    0x2E,
    0x2F,
    0x3B,
    0x41,
    0x42,
    0x48,
    0x55,
    0x5F,
    0x83,
    0x89,
    0x8A,
    0x8B,
    0x8E,
    0x8F,
    0x93,
    0x9C,
    0xA4,
    0xAA,
    0xAE,
    0xAF,
}
LENGTH_FIELDS: Mapping[int, tuple[int, int]] = {
    # (offset, size) of the length of the parameter list in the CDB, by operation code
    0x15: (4, 1),
    0x1D: (3, 2),
    0x3B: (6, 3),
    0x42: (7, 2),
    0x48: (7, 2),
    0x55: (7, 2),
    0x5F: (5, 4),
    0x83: (10, 4),
    0xA4: (6, 4),
}
NUMBERS = (
    "initiator_task_tag",
    "cmd_sn",
    "exp_stat_sn",
    "total_ahs_length",
    "data_segment_length",
    "immediate",
    "lun",
    "final",
)
WRONG = ("header digest", "data digest", "padding")
ADDITIONAL = ("", "000500010000aabbccdd", "000102000000000000", "ffff0100", "0005020000000200", "00010100", "0005010000000000")


def new_script(random: Random) -> Script:
    slot = random.randrange(2)
    script = [login_grammar.login(random, slot)]
    script += [["scsi", slot, lun, "00" * 6, {}] for lun in range(random.randrange(3))]  # report the unit attentions
    return [*script, *(new_step(random) for _ in range(random.choice((1, 2, 3, 5, 8))))]


def new_step(random: Random) -> Step:
    slot = random.choice((0, 0, 0, 1, 2))
    make = random.choices(tuple(_MAKERS), weights=tuple(_MAKERS.values()))[0]
    return make(random, slot)


def _scsi(random: Random, slot: int) -> Step:
    command = bytearray(cdb(random))
    lun = random.choice((0, 0, 1, 1, 2, 3, 256))
    options: dict[str, Any] = {}
    if random.randrange(6) == 0:
        options["attribute"] = random.randrange(8)
    if random.randrange(10) == 0:
        options[random.choice(NUMBERS)] = number(random)
    if random.randrange(25) == 0:
        options["ahs"] = random.choice(ADDITIONAL)
    if random.randrange(25) == 0:
        options["wrong"] = random.choice(WRONG)
    data = b""
    if command[0] in DATA_OUT:
        data = parameter_list(random, bytes(command))
        if command[0] in LENGTH_FIELDS and random.randrange(5):
            at, size = LENGTH_FIELDS[command[0]]
            command[at : at + size] = (len(data) % (1 << size * 8)).to_bytes(size, "big")
        if random.randrange(4) == 0:
            options["send"] = random.choice((0, 1, 512, len(data) // 2))
        if random.randrange(10) == 0:
            options["out"] = random.choice((0, 1, 512, 1 << 20, number(random)))
    elif command[0] in DATA_IN:
        options["in"] = random.choice((4, 36, 255, 512, 4096, 65536)) if random.randrange(6) else number(random)
    return ["scsi", slot, lun, bytes(command).hex(), options, data.hex()]


def _data(random: Random, slot: int) -> Step:
    change: dict[str, Any] = {}
    if random.randrange(2):
        name = random.choice(
            ("size", "shift", "target_transfer_tag", "initiator_task_tag", "data_sn", "final", "buffer_offset")
        )
        change[name] = number(random)
    if random.randrange(10) == 0:
        change["wrong"] = random.choice(WRONG)
    return ["data", slot, random.randrange(4), change]


def _pdu(random: Random, slot: int) -> Step:
    name = random.choice(
        ("NopOut", "TaskManagementFunctionRequest", "TextRequest", "LogoutRequest", "SnackRequest", "ScsiDataOut")
    )
    overrides: dict[str, Any] = {}
    data = b""
    if name == "TaskManagementFunctionRequest":
        overrides = {"function": random.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 0x7F)), "lun": random.choice((0, 1, 2, 3)) << 48}
        overrides["referenced_task_tag"] = random.choice((0xFFFFFFFF, 1, 2, 3, 4, 5, number(random)))
    elif name == "LogoutRequest":
        overrides = {"reason": random.choice((0, 1, 2, 3)), "connection_id": random.choice((0, 0, 1))}
    elif name == "TextRequest":
        data = login_grammar.text(random)
        overrides = {"continued": True, "final": False} if random.randrange(8) == 0 else {}
    elif name == "NopOut":
        data = random.randbytes(random.choice((0, 0, 1, 4, 100, 5000)))
    if random.randrange(3) == 0:
        overrides[random.choice((*NUMBERS, "target_transfer_tag"))] = number(random)
    extra = {"ahs": random.choice(ADDITIONAL)} if random.randrange(20) == 0 else {}
    if random.randrange(20) == 0:
        extra["wrong"] = random.choice(WRONG)
    return ["pdu", slot, name, overrides, data.hex(), extra]


def _raw(random: Random, slot: int) -> Step:
    header = bytearray(48)
    header[0] = random.choice((*range(0x08), 0x10, *range(0x20, 0x27), 0x31, 0x3F, 0x41, 0x43, random.randrange(256)))
    header[1] = random.choice((0x80, 0x87, 0xA1, 0xC1, random.randrange(256)))
    header[5:8] = random.choice((bytes(3), b"\0\0\x04", b"\xff\xff\xff"))
    return ["raw", slot, (bytes(header) + random.randbytes(random.choice((0, 4, 50))))[: random.choice((10, 48, 200))].hex()]


def _ranges(random: Random) -> list[list[int]]:
    usual = [[random.randrange(0, 400, 8), random.choice((1, 8, 16, 64))] for _ in range(random.choice((1, 1, 2, 3)))]
    if random.randrange(6) == 0:
        usual.append([number(random, 64), number(random)])
    return usual * random.choice((1, 1, 1, 1, 40))


def _patches(random: Random, size: int) -> list[list[int]]:
    if random.randrange(3):
        return []
    return [[random.randrange(size), 1 << random.randrange(8)] for _ in range(random.choice((1, 1, 2)))]


def _populate(random: Random, slot: int) -> Step:
    return ["populate", slot, random.choice((0, 0, 1, 2)), random.randrange(4), _ranges(random), _patches(random, 32)]


def _use(random: Random, slot: int) -> Step:
    lun, identifier = random.choice((0, 0, 1, 2)), random.randrange(4)
    return ["use", slot, lun, identifier, _ranges(random), _patches(random, 512), _patches(random, 552)]


def _extended_copy(random: Random, slot: int) -> Step:
    segments = [
        [
            random.choice((2, 2, 2, 3, 10, 11)),
            random.choice((0, 1, 2, 3, 0xFFFF)),
            random.choice((0, 8, 40, number(random, 64))),
            random.choice((0, 0, 1, 1, 2, 3, 9)),
            random.choice((0, 16, 48, number(random, 64))),
            random.choice((0, 1, 8, 16, number(random, 16))),
        ]
        for _ in range(random.choice((1, 1, 2, 3)))
    ]
    options: dict[str, Any] = {"identifier": random.randrange(4), "usage": random.randrange(4), "lid4": random.random() < 0.4}
    options["patches"] = _patches(random, 100)
    if random.randrange(10) == 0:
        options["inline"] = random.randbytes(16).hex()
    return ["extended copy", slot, random.randrange(3), segments, options]


_MAKERS: Mapping[Callable[[Random, int], Step], int] = {
    _scsi: 40,
    _pdu: 15,
    _data: 8,
    login_grammar.login: 6,
    _populate: 5,
    _use: 6,
    _extended_copy: 5,
    _raw: 5,
    lambda random, slot: ["time", random.choice((1, 1, 5, 16, 31, 61, 120))]: 4,
    lambda random, slot: ["end", slot, random.choice(("half", "close"))]: 3,
    lambda random, slot: ["reads", slot, random.random() < 0.4]: 2,
}
