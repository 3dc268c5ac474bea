"""Runs scripts of hostile logins against an array that demands CHAP."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from odx_target.target.config.chap import chap_user, target_chap
from tests.fuzz.array.attack_run import check_sound, end_attack, run_alone
from tests.fuzz.array.connection import AttackingConnection
from tests.fuzz.array.served import ATTACKER, CONFIG, WITNESS, ServedArray, served_array
from tests.fuzz.array.witness import Witness
from tests.fuzz.chap.binary_forms import RIGHT_FORMS
from tests.fuzz.chap.chap_login import OPERATIONAL, SECURITY, ChapLogin, log_in_rightly, value_of
from tests.fuzz.chap.naive_judge import ALGORITHMS, BOUND_TO, OWN_NAME, SECRETS, ChapJudge
from tests.fuzz.surface import Finding, Script, Step
from tests.fuzz.values import bytes_of

MAX_SLOTS = 4
MAX_DELAY_S = 40
MAX_CHALLENGE_BYTES = 1024
CHAP_CONFIG = replace(
    CONFIG,
    chap_users=tuple(chap_user(name, secret, BOUND_TO.get(name)) for name, secret in SECRETS.items() if name != OWN_NAME),
    target_chap=target_chap(OWN_NAME, SECRETS[OWN_NAME]),
)


@dataclass
class ChapAttack:
    """The connections of one script."""

    served: ServedArray
    outcomes: set[str] = field(default_factory=set)
    logins: dict[int, ChapLogin] = field(default_factory=dict)
    challenges: set[bytes] = field(default_factory=set)

    def login(self, slot: Any) -> ChapLogin:
        """Return the login of a slot. If its connection has ended, begin another one."""
        number = int(slot) % MAX_SLOTS if isinstance(slot, int) else 0
        found = self.logins.get(number)
        if found is None or not found.connection.is_open:
            self.end(number)
            connection = AttackingConnection(self.served, number, self.outcomes)
            found = self.logins[number] = ChapLogin(connection, ChapJudge(self.challenges))
        return found

    def end(self, number: int) -> None:
        if number in self.logins:
            self.logins.pop(number).connection.end("close")


async def _login(attack: ChapAttack, slot: Any, pairs: Any, overrides: Any) -> None:
    login = attack.login(slot)
    others = list(attack.logins.values())
    given = dict(overrides) if isinstance(overrides, dict) else {}
    usable = [pair for pair in pairs if isinstance(pair, list) and len(pair) == 2] if isinstance(pairs, list) else []
    values = [(str(name), value_of(value, login, others)) for name, value in usable]
    text = bytes_of(given.pop("text")) if "text" in given else None
    if given.pop("names", login.judge.is_new):
        known = {name for name, _ in values}
        names = [("InitiatorName", ATTACKER), ("TargetName", CONFIG.iqn)]
        values = [*(pair for pair in names if pair[0] not in known), *values]
    stages = {"current_stage": SECURITY, "next_stage": OPERATIONAL, "transit": False, **given}
    attack.outcomes.add(await login.send(values, text, **stages))


async def _right(attack: ChapAttack, slot: Any, user: Any, algorithm: Any, form: Any, challenge: Any) -> None:
    """Log in without a fault, on a new connection. All values that a mutation may leave are right."""
    number = int(slot) % MAX_SLOTS if isinstance(slot, int) else 0
    attack.end(number)
    login = attack.login(number)
    users = [name for name in SECRETS if name not in (OWN_NAME, "elsewhere")]
    await log_in_rightly(
        login,
        ATTACKER,
        users[_index(user, len(users))],
        list(ALGORITHMS)[_index(algorithm, len(ALGORITHMS))],
        list(RIGHT_FORMS)[_index(form, len(RIGHT_FORMS))],
        bytes_of(challenge)[:MAX_CHALLENGE_BYTES],
    )
    attack.outcomes.add("logged in rightly")


async def _end(attack: ChapAttack, slot: Any, how: Any) -> None:
    attack.login(slot).connection.end(str(how))
    await attack.served.settle()


async def _time(attack: ChapAttack, delay_s: Any) -> None:
    await attack.served.advance(_index(delay_s, MAX_DELAY_S))
    for login in attack.logins.values():
        login.connection.receive()


ACTIONS: Mapping[str, tuple[int, Callable[..., Awaitable[None]]]] = {
    # name -> number of arguments, function
    "login": (3, _login),
    "right": (5, _right),
    "end": (2, _end),
    "time": (1, _time),
}


def run(script: Script) -> set[str]:
    """Run the steps of a script, and check the array after each step. Returns the outcomes. Raises Finding."""

    async def main() -> set[str]:
        async with served_array(config=CHAP_CONFIG) as served, Witness(served, _log_in_witness) as witness:
            attack = ChapAttack(served)
            try:
                for step in script:
                    await _run_step(attack, step)
                    check_sound(served)
            finally:
                for number in list(attack.logins):
                    attack.end(number)
            await end_attack(served)
            await witness.check()
            _check_secrets(served)
            return attack.outcomes

    return run_alone(main)


async def _run_step(attack: ChapAttack, step: Step) -> None:
    count, action = ACTIONS.get(str(step[0]) if step else "", (0, None))
    if action is not None:
        await action(attack, *[*step[1 : count + 1], *([None] * (count - len(step) + 1))])


async def _log_in_witness(connection: AttackingConnection) -> None:
    await log_in_rightly(ChapLogin(connection, ChapJudge(set())), WITNESS, challenge=bytes(range(16)))


def _check_secrets(served: ServedArray) -> None:
    """Check that no log line contains a secret."""
    text = repr(served.logs)
    for name, secret in SECRETS.items():
        if secret.decode() in text or secret.hex() in text:
            raise Finding("a log line contains a secret", name)


def _index(value: Any, end: int) -> int:
    return int(value) % end if isinstance(value, int) else 0
