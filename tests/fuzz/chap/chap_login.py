"""Logins with CHAP: the values of their keys, and a login without faults."""

from dataclasses import dataclass
from typing import Any

from odx_target.iscsi.pdu.opcodes import Stage
from odx_target.iscsi.pdu.text import Pairs
from tests.fuzz.array.connection import AttackingConnection
from tests.fuzz.array.served import CONFIG
from tests.fuzz.chap.binary_forms import FORMS
from tests.fuzz.chap.naive_judge import OWN_NAME, SECRETS, ChapJudge, response_of
from tests.fuzz.surface import Finding
from tests.fuzz.values import bytes_of

SECURITY, OPERATIONAL, FULL = Stage.SECURITY_NEGOTIATION, Stage.LOGIN_OPERATIONAL_NEGOTIATION, Stage.FULL_FEATURE_PHASE
MAX_VALUE_BYTES = 4096


@dataclass
class ChapLogin:
    """A connection and its judge."""

    connection: AttackingConnection
    judge: ChapJudge

    async def send(self, pairs: Pairs, text: bytes | None = None, **overrides: Any) -> str:
        """Send one Login Request, and return what the judge says about the response, or "" if there is none."""
        self.connection.last_login = None
        await self.connection.log_in(pairs, text, overrides, self.judge.note)
        response = self.connection.last_login
        return self.judge.check(response, self.connection.answers) if response is not None else ""

    def right_response(self, user: str) -> bytes:
        """Return the response that proves the identity of a user, or random bytes before a challenge."""
        algorithm = self.judge.algorithm or "md5"
        return response_of(algorithm, self.judge.identifier, SECRETS.get(user, b""), self.judge.challenge)


async def log_in_rightly(
    login: ChapLogin, name: str, user: str = "host", algorithm: str = "5", form: str = "hexadecimal", challenge: bytes = b""
) -> None:
    """Log in with the right secret. If there is a challenge, the array must prove its identity. Raises Finding."""
    stage = {"current_stage": SECURITY, "transit": False, "next_stage": SECURITY}
    await login.send([("InitiatorName", name), ("TargetName", CONFIG.iqn), ("AuthMethod", "CHAP")], **stage)
    await login.send([("CHAP_A", algorithm)], **stage)
    pairs = [("CHAP_N", user), ("CHAP_R", FORMS[form](login.right_response(user)))]
    if challenge:
        pairs += [("CHAP_I", "7"), ("CHAP_C", FORMS[form](challenge))]
    await login.send(pairs, **{**stage, "transit": True, "next_stage": FULL})
    response = login.connection.last_login
    if response is None or response.status or not login.connection.is_full_feature:
        raise Finding("a host with the right secret cannot log in", f"{user} {algorithm} {form}: {response}")
    if challenge and login.connection.answers.get("CHAP_N") != OWN_NAME:
        raise Finding("the array does not prove its identity", str(login.connection.answers))


def value_of(recipe: Any, login: ChapLogin, others: list[ChapLogin]) -> str:
    """Return the value of a key: a text as it is, or what a recipe describes.

    "of" names what is sent: a response made with the secret of "user", the challenge that the array has sent to this or to the
    connection "slot", or "bytes". "keep" bytes of it are sent, which may be more or fewer. "flip" changes a bit.
    """
    if not isinstance(recipe, dict):
        return str(recipe)
    kind = recipe.get("of")
    if kind == "identifier":
        number = login.judge.identifier
        return hex(number) if recipe.get("form") == "hexadecimal" else str(number)
    if kind == "challenge":
        data = _judge_of(recipe.get("slot"), login, others).challenge
    elif kind == "bytes":
        data = bytes_of(recipe.get("bytes", ""))
    else:
        judge = _judge_of(recipe.get("slot"), login, others)
        secret = SECRETS.get(str(recipe.get("user")), bytes_of(recipe.get("user", "")))
        data = response_of(judge.algorithm or "md5", judge.identifier, secret, judge.challenge)
    return FORMS.get(str(recipe.get("form")), FORMS["hexadecimal"])(_changed(data, recipe))


def _judge_of(slot: Any, login: ChapLogin, others: list[ChapLogin]) -> ChapJudge:
    return others[slot % len(others)].judge if isinstance(slot, int) and others else login.judge


def _changed(data: bytes, recipe: dict[str, Any]) -> bytes:
    keep, flip = recipe.get("keep"), recipe.get("flip")
    if isinstance(keep, int):
        keep %= MAX_VALUE_BYTES
        data = data[:keep].ljust(keep, b"\0")
    if isinstance(flip, int) and data:
        at = flip // 8 % len(data)
        data = data[:at] + bytes((data[at] ^ 1 << flip % 8,)) + data[at + 1 :]
    return data
