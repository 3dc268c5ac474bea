"""Attacks on a whole array, after which another host must still be served."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from odx_target.target.config.chap import ChapUser
from tests.fuzz.array.actions import ACTIONS, Attack
from tests.fuzz.array.attack_run import check_released, check_sound, run_alone
from tests.fuzz.array.connection import AttackingConnection
from tests.fuzz.array.served import CONFIG, ServedArray, served_array
from tests.fuzz.array.witness import Witness

USUAL = [("InitialR2T", "Yes"), ("ImmediateData", "Yes"), ("MaxRecvDataSegmentLength", "65536")]
Body = Callable[[Attack], Awaitable[None]]


def attack(body: Body, *, seed: int = 0, users: tuple[ChapUser, ...] = ()) -> set[str]:
    """Run an attack against an array, and check that the array is sound and serves another host. Returns what was seen."""

    async def main() -> set[str]:
        async with served_array(seed, replace(CONFIG, chap_users=users)) as served:
            if users:
                return await _attacked(served, body)
            async with Witness(served) as witness:
                seen = await _attacked(served, body)
                await witness.check()
                return seen

    return run_alone(main)


async def _attacked(served: ServedArray, body: Body) -> set[str]:
    found = Attack(served)
    await body(found)
    check_sound(served)
    for connection in found.connections.values():
        connection.end("close")
    await served.advance(3)
    check_sound(served)
    check_released(served)
    return found.outcomes


async def logged_in(attack: Attack, slot: int = 0, keys: list[tuple[str, str]] = USUAL) -> AttackingConnection:
    """Log in, and let each LUN report its unit attention."""
    await ACTIONS["login"](attack, slot, [list(pair) for pair in keys], {})
    connection = attack.connection(slot)
    assert connection.is_full_feature
    for lun in range(3):
        await command(attack, bytes(6), lun=lun, slot=slot)
    attack.outcomes.clear()
    return connection


async def command(attack: Attack, cdb: bytes, data: bytes = b"", *, lun: int = 0, slot: int = 0, size: int = 0) -> bytes:
    """Send a command, and return its data. `size` is the number of bytes that it may return."""
    attack.connection(slot).last_data = b""
    await ACTIONS["scsi"](attack, slot, lun, cdb.hex(), {"in": size} if size else {}, data.hex())
    return attack.connection(slot).last_data
