"""Random logins with CHAP: right ones, and ones with wrong orders, keys, lengths, forms and reflected values."""

from random import Random
from typing import Any

from tests.fuzz.array.login_grammar import pairs as operational_pairs
from tests.fuzz.chap.binary_forms import FORMS
from tests.fuzz.chap.chap_attack import MAX_SLOTS
from tests.fuzz.chap.naive_judge import SECRETS
from tests.fuzz.surface import Script, Step
from tests.fuzz.values import changed_text, number

METHODS = ("CHAP", "CHAP,None", "None,CHAP", "None", "CHAP,CHAP", "KRB5,SRP,CHAP", "chap", "", "Reject", "x" * 300)
LISTS = (
    "5",
    "7,5",
    "8,7,6,5",
    "6",
    "5,5",
    "0x5",
    "99,5",
    "99",
    "",
    ",",
    "5,",
    "-5",
    "5.0",
    "MD5",
    "9" * 300,
    ",".join(["5"] * 200),
)
USERS = (
    "host",
    "host",
    "bound",
    "elsewhere",
    "array",
    "nobody",
    "",
    "host ",
    "HOST",
    "host\u0000",
    "é" * 130,
    "x" * 255,
    "x" * 256,
)
IDENTIFIERS: tuple[Any, ...] = ("0", "7", "255", "256", "-1", "0x7", "0x1ff", "", "seven", "07", {"of": "identifier"})
OTHER_KEYS = (
    "CHAP_X",
    "CHAP_A",
    "CHAP_C",
    "CHAP_I",
    "CHAP_N",
    "CHAP_R",
    "AuthMethod",
    "HeaderDigest",
    "SPKM_REQ",
    "X-odx.chap",
)


def new_script(random: Random) -> Script:
    """Return the steps of one or two logins, which may be mixed."""
    logins = [_login_steps(random, random.randrange(MAX_SLOTS)) for _ in range(random.choice((1, 1, 2)))]
    script: Script = []
    while any(logins):
        steps = random.choice([each for each in logins if each])
        script.append(steps.pop(0))
        if random.randrange(12) == 0:
            script.append(new_step(random))
    return script


def new_step(random: Random) -> Step:
    kind = random.randrange(8)
    slot = random.randrange(MAX_SLOTS)
    if kind == 0:
        return ["end", slot, random.choice(("close", "half"))]
    if kind == 1:
        return ["time", random.choice((1, 5, 20, 39))]
    if kind == 2:
        challenge = random.randbytes(random.choice((0, 1, 16, 32, 1024))).hex()
        return ["right", slot, random.randrange(2), random.randrange(4), random.randrange(6), challenge]
    return random.choice(_login_steps(random, slot))


def _login_steps(random: Random, slot: int) -> list[Step]:
    method = [["AuthMethod", "CHAP" if random.randrange(3) else random.choice(METHODS)]]
    algorithms = [["CHAP_A", "5" if random.randrange(3) else random.choice(LISTS)]]
    answer = _answer(random)
    steps = [method, algorithms, answer]
    if random.randrange(5) == 0:  # keys of several steps in one request, or in another order
        at = random.randrange(2)
        steps[at : at + 2] = [steps[at] + steps[at + 1]] if random.randrange(2) else [steps[at + 1], steps[at]]
    if random.randrange(8) == 0:
        del steps[random.randrange(len(steps))]
    logins: list[Step] = [["login", slot, _faulty(random, keys), _overrides(random)] for keys in steps]
    logins[-1][3].setdefault("transit", True)
    if random.randrange(2):
        logins[-1][3].setdefault("next_stage", 3)
    logins.append(["login", slot, operational_pairs(random), {"current_stage": 1, "next_stage": 3, "transit": True}])
    return logins


def _answer(random: Random) -> list[list[Any]]:
    """Return CHAP_N and CHAP_R, and in some cases CHAP_I and CHAP_C."""
    user = random.choice(USERS)
    secret = user if random.randrange(3) else random.choice(sorted(SECRETS))
    keys: list[list[Any]] = [["CHAP_N", user], ["CHAP_R", _recipe(random, {"of": "response", "user": secret})]]
    if random.randrange(2):
        asked = random.choice(
            (
                {"of": "challenge"},
                {"of": "challenge", "slot": random.randrange(MAX_SLOTS)},
                {"of": "bytes", "bytes": random.randbytes(random.choice((0, 1, 15, 16, 64, 1024, 1025))).hex()},
            )
        )
        keys += [["CHAP_I", random.choice(IDENTIFIERS)], ["CHAP_C", _recipe(random, asked)]]
    return keys


def _recipe(random: Random, recipe: dict[str, Any]) -> dict[str, Any]:
    kind = random.randrange(8)
    if kind == 0:
        recipe["keep"] = random.choice((0, 1, 15, 17, 20, 32, 1024, 1025, 2000))
    elif kind == 1:
        recipe["flip"] = random.randrange(256)
    elif kind == 2:
        recipe["slot"] = random.randrange(MAX_SLOTS)
    if random.randrange(2):
        recipe["form"] = random.choice(sorted(FORMS))
    return recipe


def _faulty(random: Random, keys: list[list[Any]]) -> list[list[Any]]:
    """Return the keys of a step, sometimes with one missing, repeated, strange or added."""
    kind = random.randrange(12)
    if kind == 0:
        del keys[random.randrange(len(keys))]
    elif kind == 1:
        keys = [*keys, random.choice(keys)]
    elif kind == 2:
        keys = [*keys, [random.choice(OTHER_KEYS), random.choice(("5", "", "Yes", "0x00", "?"))]]
    elif kind == 3:
        random.shuffle(keys)
    elif kind == 4:
        pair = random.choice(keys)
        keys = [*keys, [changed_text(random, pair[0]), pair[1]]]
    return keys


def _overrides(random: Random) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    kind = random.randrange(16)
    if kind == 0:
        overrides["current_stage"], overrides["next_stage"] = random.choice(((0, 3), (1, 3), (1, 1), (2, 3), (3, 3), (0, 2)))
        overrides["transit"] = random.random() < 0.7
    elif kind == 1:
        overrides["continued"] = True
    elif kind == 2:
        overrides["names"] = random.random() < 0.5
    elif kind == 3:
        name = random.choice(("tsih", "connection_id", "version_min", "isid", "data_segment_length"))
        overrides[name] = random.randbytes(6).hex() if name == "isid" else number(random, 16)
    return overrides
