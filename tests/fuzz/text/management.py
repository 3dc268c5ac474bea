"""Attacks on the control socket: requests as lines of JSON, to an array that serves a witness meanwhile."""

import json
from functools import partial
from random import Random
from typing import Any

from odx_target.target.control.encoding import encoded
from odx_target.target.control.operations import OPERATIONS, perform
from odx_target.target.control.server import _Conversations
from odx_target.target.control.storage.table import STORAGE_OPERATIONS
from tests.fuzz.array.attack_run import run_alone
from tests.fuzz.array.served import served_array
from tests.fuzz.array.witness import Witness
from tests.fuzz.surface import Finding, Script, Step
from tests.fuzz.values import changed_text

ALL = {**OPERATIONS, **STORAGE_OPERATIONS}
NAMES = ("first", "second", "kept", "new", "copy", "first@s", "second@s", "first@t", "")
VALUES: tuple[Any, ...] = (
    *NAMES,
    "1M",
    "2M",
    "8E",
    "new=1M",
    "new=1M,4096",
    "0",
    "1",
    "hourly",
    "daily",
    "*:00",
    "lz4",
    "zstd",
    "off",
    "capacity",
    "ffffffffffffffff",
    0,
    1,
    7,
    4096,
    1 << 20,
    1 << 60,
    1 << 70,
    -1,
    1.5,
    True,
    False,
    None,
    [],
    ["first@s"],
    [["x"]],
    {},
    {"a": "b"},
    "\u2028\n",
    "x" * 300,
)


def new_script(random: Random) -> Script:
    return [new_step(random) for _ in range(random.choice((1, 2, 4, 6)))]


def new_step(random: Random) -> Step:
    if random.randrange(8) == 0:
        operation, arguments = random.choice(_USUAL)
        return ["request", json.dumps({"operation": operation, "arguments": arguments})]
    name = random.choice(sorted(ALL))
    arguments = {each.name: random.choice(VALUES) for each in ALL[name].arguments if each.is_required or random.random() < 0.3}
    line = json.dumps({"operation": name, "arguments": arguments})
    if random.randrange(12) == 0:
        line = changed_text(random, line, ("null", "[", "{", "1e999", "NaN", '"'))
    return ["time", random.choice((1, 60, 4000))] if random.randrange(12) == 0 else ["request", line]


_USUAL: tuple[tuple[str, dict[str, Any]], ...] = (
    ("snapshot", {"snapshots": ["first@s"]}),
    ("snapshot", {"snapshots": ["first@t", "second@s"]}),
    ("add-lun", {"lun": "new=1M"}),
    ("resize", {"name": "first", "size": "2M"}),
    ("resize", {"name": "first", "size": "128K", "shrink": True}),
    ("copy-rate", {"rate": "1M"}),
    ("status", {}),
    ("tokens", {}),
)


def run(script: Script) -> set[str]:
    """Send the requests. Each must get one answer, and the array must log no error. Raises Finding."""
    return run_alone(partial(_main, script))


async def _main(script: Script) -> set[str]:
    outcomes = set()
    async with served_array() as served, Witness(served) as witness:
        conversations = _Conversations(partial(perform, served.array))
        for step in script:
            if not step:
                continue
            if step[0] == "time":
                await served.advance(int(step[1]) % 5000 if isinstance(step[1], int) else 1)
            else:
                line = str(step[1] if len(step) > 1 else "").encode("utf-8", "surrogatepass")
                answer = await conversations._answer(line.replace(b"\n", b" "))
                outcomes.add(checked_answer(answer, await encoded(answer)))
            await served.settle()
            if error := served.has_failed():
                raise Finding("the array has logged an error", error)
            if not served.array.pool.volumes.get("witness"):
                return outcomes  # the request has removed the volume of the witness, which an operator may do
        await witness.check()
    return outcomes


def checked_answer(answer: Any, encoded: bytes) -> str:
    """Check an answer of the control socket, and return a text for it. Raises Finding."""
    if b"\n" in encoded or json.loads(encoded) is None:
        raise Finding("an answer is not one line of JSON", encoded[:200].decode("utf-8", "replace"))
    if "result" in answer:
        return f"result {sorted(answer['result'])[:3]}"
    message = answer["error"]
    if not message or not message.isprintable():
        raise Finding("an error of the control socket is not one printable line", repr(message))
    return "error " + " ".join(word for word in message.split()[:8] if word.isalpha())
