"""Attacks on the lines of the control socket: broken, huge, nested and half lines, silence, clients that leave at any time."""

import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from random import Random
from typing import Any

import trio

from odx_target.target.control.operations import perform
from odx_target.target.control.server import MAX_CONTROL_CONNECTIONS, MAX_LINE_BYTES, _Conversations
from tests.fuzz.array.attack_run import run_alone
from tests.fuzz.array.served import ServedArray, served_array
from tests.fuzz.control.control_client import ControlClient
from tests.fuzz.surface import Finding, Script, Step
from tests.fuzz.text.management import checked_answer
from tests.fuzz.values import bytes_of, changed_text

MAX_SLOTS = MAX_CONTROL_CONNECTIONS + 4
MAX_SENT_BYTES = 4 * MAX_LINE_BYTES
MAX_LINES = 300
"""Number of lines that one step sends at most. Each gets an answer, so more of them would only take more time."""
MAX_PIECES = 8
MAX_SEND_ATTEMPTS = 40
MAX_DELAY_S = 100
BRACKETS = ("[", "{", '{"a":', "[{", '[[1],"', '{"operation":')
REQUESTS = (
    {"operation": "luns"},
    {"operation": "status", "arguments": {}},
    {"operation": "tokens", "arguments": {}},
    {"operation": "no such operation", "arguments": {"a": [None, 1.5, True]}},
    {"operation": "resize", "arguments": {"name": "no such volume", "size": "1M"}},
    {"operation": "luns", "more": 1},
    {"operation": ["luns"]},
    {"arguments": {}},
    {},
    [],
    None,
    0,
    "luns",
)
TEXTS = ("\n", "\r\n", "\0", "\ufeff", "NaN", "-Infinity", "1e999", '"', "\\", "{", "}", "[", ",", "/*", "'", "9" * 5000)


def new_script(random: Random) -> Script:
    return [new_step(random) for _ in range(random.choice((1, 2, 4, 8, 24)))]


def new_step(random: Random) -> Step:
    slot = random.randrange(random.choice((1, 2, MAX_SLOTS)))
    kind = random.randrange(12)
    if kind == 0:
        return ["fill", slot, random.choice(("x", " ", '"', "[1],", "\n", "{}\n")), _edge(random), random.choice(("", "\n"))]
    if kind == 1:
        return [
            "nest",
            slot,
            random.choice(BRACKETS),
            random.choice((1, 10, 900, 1000, 5000, 60000)),
            bool(random.randrange(2)),
        ]
    if kind == 2:
        return ["end", slot, random.choice(("close", "half"))]
    if kind == 3:
        return ["time", random.choice((1, 9, 11, 30, 59, 61, 99))]
    if kind == 4:
        return ["reads", slot, bool(random.randrange(2))]
    if kind == 5:
        return [
            "bytes",
            slot,
            random.choice((random.randbytes(random.randrange(40)), b"\xff\xfe{\0}\0\n\0", b"\n" * 300)).hex(),
        ]
    if kind == 6:
        return ["repeat", slot, json.dumps(random.choice(REQUESTS)), random.choice((2, 10, 100))]
    line = json.dumps(random.choice(REQUESTS)) + "\n"
    if random.randrange(3) == 0:
        line = changed_text(random, line, TEXTS)
    if random.randrange(4) == 0:
        line = line[: random.randrange(len(line) + 1)]
    return ["send", slot, line, random.choice((1, 1, 2, 8))]


def _edge(random: Random) -> int:
    return random.choice((0, 1, 1000, MAX_LINE_BYTES, 2 * MAX_LINE_BYTES, MAX_SENT_BYTES)) + random.randrange(-2, 3)


class FramingAttack:
    """The clients of one script. `conversations` serves them."""

    def __init__(self, served: ServedArray, nursery: trio.Nursery) -> None:
        self.served = served
        self.outcomes: set[str] = set()
        self.conversations = _Conversations(partial(perform, served.array))
        self.clients: dict[int, ControlClient] = {}
        self._nursery = nursery

    def client(self, slot: Any) -> ControlClient:
        """Return the client of a slot. If there is none, or its client has ended, connect another one."""
        number = _number(slot, MAX_SLOTS)
        found = self.clients.get(number)
        if found is None or found.has_ended:
            if found is not None:
                found.end("close")
            found = self.clients[number] = self.connect()
        return found

    def connect(self) -> ControlClient:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        is_refused = self.conversations._count >= MAX_CONTROL_CONNECTIONS
        self._nursery.start_soon(self.conversations.serve, trio.SocketStream(trio.socket.from_stdlib_socket(theirs)))
        return ControlClient(ours, is_refused, trio.current_time())

    def close_all(self) -> None:
        for client in self.clients.values():
            client.end("close")
        self.clients.clear()

    async def settle(self) -> None:
        """Wait until the array has nothing to do, while the clients take their answers."""
        while True:
            await self.served.settle()
            answers = [answer for client in self.clients.values() for answer in client.receive()]
            self.outcomes |= {checked_answer(json.loads(answer), answer) for answer in answers}
            if not answers:
                return

    async def send(self, slot: Any, data: bytes, pieces: int = 1) -> None:
        client = self.client(slot)
        await self.settle()
        size = -(-len(data) // max(pieces, 1)) or 1
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            for _ in range(MAX_SEND_ATTEMPTS):
                piece = piece[client.send(piece, trio.current_time()) :]
                await self.settle()
                if not piece:
                    break


async def _send(attack: FramingAttack, slot: Any, text: Any, pieces: Any) -> None:
    await attack.send(slot, _utf8(text), 1 + _number(pieces, MAX_PIECES))


async def _bytes(attack: FramingAttack, slot: Any, data: Any) -> None:
    await attack.send(slot, bytes_of(data)[:MAX_SENT_BYTES])


async def _fill(attack: FramingAttack, slot: Any, text: Any, size_bytes: Any, end: Any) -> None:
    unit = _utf8(text)[:100] or b"x"
    size = _number(size_bytes, MAX_LINES if b"\n" in unit else MAX_SENT_BYTES)
    await attack.send(slot, (unit * (size // len(unit) + 1))[:size] + _utf8(end)[:100])


async def _nest(attack: FramingAttack, slot: Any, opening: Any, depth: Any, is_closed: Any) -> None:
    unit = _utf8(opening)[:16]
    levels = _number(depth, MAX_LINE_BYTES // max(1, len(unit)))
    closing = b"".join({b"[": b"]", b"{": b"}"}.get(unit[at : at + 1], b"") for at in range(len(unit) - 1, -1, -1))
    await attack.send(slot, unit * levels + b"1" + (closing * levels if is_closed else b"") + b"\n")


async def _repeat(attack: FramingAttack, slot: Any, text: Any, count: Any) -> None:
    await attack.send(slot, ((_utf8(text) + b"\n") * _number(count, MAX_LINES))[:MAX_SENT_BYTES])


async def _end(attack: FramingAttack, slot: Any, how: Any) -> None:
    attack.client(slot).end(str(how))


async def _time(attack: FramingAttack, delay_s: Any) -> None:
    await attack.served.advance(_number(delay_s, MAX_DELAY_S))


async def _reads(attack: FramingAttack, slot: Any, reads: Any) -> None:
    attack.client(slot).set_reading(bool(reads))


ACTIONS: Mapping[str, tuple[int, Callable[..., Awaitable[None]]]] = {
    # name -> number of arguments, function
    "send": (3, _send),
    "bytes": (2, _bytes),
    "fill": (4, _fill),
    "nest": (4, _nest),
    "repeat": (3, _repeat),
    "end": (2, _end),
    "time": (1, _time),
    "reads": (2, _reads),
}


def run(script: Script) -> set[str]:
    """Run the steps of a script, and check the clients after each step. Returns the outcomes. Raises Finding."""

    async def main() -> set[str]:
        async with served_array() as served, trio.open_nursery() as nursery:
            attack = FramingAttack(served, nursery)
            try:
                for step in script:
                    await _run_step(attack, step)
                await _end_attack(attack)
            finally:
                attack.close_all()
                nursery.cancel_scope.cancel()
            return attack.outcomes

    return run_alone(main)


async def _run_step(attack: FramingAttack, step: Step) -> None:
    count, action = ACTIONS.get(str(step[0]) if step else "", (0, None))
    if action is not None:
        await action(attack, *[*step[1 : count + 1], *([None] * (count - len(step) + 1))])
        await attack.settle()
        _check(attack)


def _check(attack: FramingAttack) -> None:
    for client in attack.clients.values():
        client.check(trio.current_time())
    if error := attack.served.has_failed():
        raise Finding("the array has logged an error", error)


async def _end_attack(attack: FramingAttack) -> None:
    """Close all clients, and check that nothing is left of them and that another client gets an answer."""
    attack.close_all()
    await attack.served.settle()
    if attack.conversations._count:
        raise Finding("connections of the control socket are left after their end", str(attack.conversations._count))
    await attack.send(0, b'{"operation": "luns"}\n')
    _check(attack)


def _utf8(text: Any) -> bytes:
    return str(text if text is not None else "").encode("utf-8", "surrogatepass")


def _number(value: Any, end: int) -> int:
    """Return a number from 0 to end - 1 for any value."""
    return int(value) % max(end, 1) if isinstance(value, int) else 0
