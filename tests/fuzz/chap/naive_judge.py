"""A naive judge of CHAP: it sees all that one connection sends and receives, and knows all secrets.

It finds a target that lets in a host that has not proved its identity, or that proves its own identity too early, wrongly, or
for a challenge of its own (RFC 7143 9.2.1, 12.1.3; RFC 1994).
"""

import hashlib
from collections.abc import Mapping

from odx_target.iscsi.pdu.headers import LoginResponse
from odx_target.iscsi.pdu.opcodes import Stage
from tests.fuzz.array.served import ATTACKER, WITNESS
from tests.fuzz.chap.binary_forms import naive_bytes
from tests.fuzz.surface import Finding

ALGORITHMS = {"5": "md5", "6": "sha1", "7": "sha256", "8": "sha3_256"}
KEYS = {"AuthMethod", "CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"}
OWN_NAME = "array"
SECRETS: Mapping[str, bytes] = {
    "host": b"secret-of-the-host",
    "bound": b"secret-of-the-bound",
    "elsewhere": b"secret-of-elsewhere",
    OWN_NAME: b"secret-of-the-array",
}
"""The secrets of the users and of the target itself."""
BOUND_TO: Mapping[str, str] = {"bound": ATTACKER, "elsewhere": WITNESS}
"""The only initiator that may use the credentials of a user. All initiators may use those of other users."""


def response_of(algorithm: str, identifier: int, secret: bytes, challenge: bytes) -> bytes:
    return hashlib.new(algorithm, bytes((identifier & 0xFF,)) + secret + challenge).digest()


class ChapJudge:
    """The judge of one connection. `challenges` are the challenges of all connections of the attack."""

    def __init__(self, challenges: set[bytes]) -> None:
        self.challenges = challenges
        self.algorithm = ""
        self.identifier = 0
        self.challenge = b""
        self._text = b""

    @property
    def is_new(self) -> bool:
        """True before the first request, which must name the initiator and the target."""
        return not self._text

    def note(self, text: bytes) -> None:
        """Note the data segment of a Login Request."""
        self._text += text

    def check(self, response: LoginResponse, answers: Mapping[str, str]) -> str:
        """Check a Login Response, and return a text for it. Raises Finding."""
        if answers.get("AuthMethod", "CHAP") != "CHAP":
            raise Finding("the array agrees to another method than CHAP", answers["AuthMethod"])
        if response.status and any(name.startswith("CHAP_") for name in answers):
            raise Finding("a refusal has keys of CHAP", str(answers))
        if "CHAP_C" in answers:
            self._note_challenge(answers)
        users = self._proved_users()
        if "CHAP_R" in answers:
            self._check_proof(answers, users)
        if response.transit and not response.status:
            if not users:
                raise Finding("the array lets in a host that has not proved its identity", self._text[:300].hex())
            is_in = response.next_stage == Stage.FULL_FEATURE_PHASE
            where = f"in as {users[0]} by {self.algorithm}" if is_in else f"to stage {response.next_stage}"
            return f"{where}, both" if "CHAP_R" in answers else where
        return f"answers {sorted(answers.keys() & KEYS)}"

    def _note_challenge(self, answers: Mapping[str, str]) -> None:
        self.algorithm = ALGORITHMS[answers["CHAP_A"]]
        self.identifier = int(answers["CHAP_I"])
        challenge = naive_bytes(answers["CHAP_C"])
        if challenge is None or len(challenge) < 16 or challenge in self.challenges:
            raise Finding("a challenge that is short or was sent before", answers["CHAP_C"])
        self.challenge = challenge
        self.challenges.add(challenge)

    def _values(self, name: str) -> list[str]:
        """Return all values that the host has sent for a key."""
        pairs = (part.partition(b"=") for part in self._text.split(b"\0"))
        return [value.decode("utf-8", "replace") for key, _, value in pairs if key == name.encode()]

    def _proved_users(self) -> list[str]:
        """Return the users whose identity the host has proved. The order of the keys does not matter."""
        if not self.challenge:
            return []
        responses = [naive_bytes(value) for value in self._values("CHAP_R")]
        names = self._values("InitiatorName")
        return [
            user
            for user in self._values("CHAP_N")
            if user in SECRETS
            and user != OWN_NAME
            and response_of(self.algorithm, self.identifier, SECRETS[user], self.challenge) in responses
            and (user not in BOUND_TO or BOUND_TO[user] in names)
        ]

    def _check_proof(self, answers: Mapping[str, str], users: list[str]) -> None:
        if not users:
            raise Finding("the array proves its identity before the host", self._text[:300].hex())
        challenges = [each for each in map(naive_bytes, self._values("CHAP_C")) if each]
        if self.challenge in challenges:
            raise Finding("the array answers its own challenge", self.challenge.hex())
        proof = naive_bytes(answers["CHAP_R"])
        possible = {
            response_of(self.algorithm, identifier, SECRETS[OWN_NAME], challenge)
            for challenge in challenges
            for identifier in range(256)
        }
        if proof not in possible or answers.get("CHAP_N") != OWN_NAME:
            raise Finding("the array proves its identity wrongly", str(answers))
