"""Each kind of fault, once at each of its points, and what initiators see."""

from typing import NamedTuple

from odx_target.target.faults.occurrence import Point
from odx_target.target.faults.reading import read_rule, words_of
from odx_target.target.faults.words.what import FAULTS
from tests.interop.faults.acts import Act
from tests.interop.faults.clients import LOST, NO_ANSWER, REFUSED


class Kind(NamedTuple):
    """A rule, the act of a host that meets it, and what libiscsi and the initiator of this project see.

    A rule with the word `hold` is released after its fault was injected. `{port}` is the port of the array.
    """

    rule: str
    act: Act
    libiscsi: str
    ours: str

    def rule_at(self, portal: str) -> str:
        """Return the rule for an array at this address."""
        return self.rule.replace("{port}", portal.rpartition(":")[2])

    def kinds(self) -> set[tuple[str, Point]]:
        """Return the faults of the rule with their point."""
        point, given, _ = read_rule(words_of(self.rule_at("127.0.0.1:3260")))
        return {(word.key, point) for word in FAULTS if word.key in given}


def _same(rule: str, act: Act, seen: str) -> Kind:
    return Kind(rule, act, seen, seen)


_COMMAND = (
    _same("command=read-10 sense=unrecovered-read-error", Act.READ, "3/11/00"),
    _same("command=read-10 status=busy", Act.READ, "status 08h"),
    _same("command=read-10 error=damaged-block", Act.READ, "3/11/00"),
    _same("command=read-10 delay=1ms", Act.READ, "good"),
    _same("command=read-10 jitter=1ms", Act.READ, "good"),
    _same("command=read-10 hold", Act.READ, "good"),
    _same("command=read-10 drop", Act.READ, NO_ANSWER),
    _same("command=write-using-token immediate", Act.COPY, "good"),
    _same("command=read-10 transfer=50%", Act.READ, "256 of 512 bytes"),
    _same("command=read-10 tokens=expire", Act.READ_AND_USE_TOKEN, "good, then 5/23/07"),
    _same("command=read-10 tokens=lose", Act.READ_AND_USE_TOKEN, "good, then 5/23/04"),
    _same("command=read-10 tokens=revoke", Act.READ_AND_USE_TOKEN, "good, then 5/23/06"),
    _same("command=read-10 tokens=cancel", Act.READ_AND_USE_TOKEN, "good, then 5/23/08"),
    _same("command=read-10 close", Act.READ, LOST),
    _same("command=write-10 restart", Act.WRITE, LOST),
)

_COPY = (
    _same("copy=50% sense=third-party-device-failure", Act.COPY, "A/0D/01"),
    _same("copy=50% error=unwritable", Act.COPY, "B/0C/00"),
    _same("copy=50% delay=1ms", Act.COPY, "good"),
    _same("copy=50% jitter=1ms", Act.COPY, "good"),
    _same("copy=50% hold", Act.COPY, "good"),
    _same("copy=50% partial", Act.COPY, "A/0D/04"),
    _same("copy=50% tokens=revoke", Act.COPY, "good"),
    _same("copy=50% close", Act.COPY, LOST),
    _same("copy=50% restart", Act.COPY, LOST),
)

_PDU = (
    _same("pdu=data-in delay=1ms", Act.READ, "good"),
    _same("pdu=data-in jitter=1ms", Act.READ, "good"),
    _same("pdu=data-in hold", Act.READ, "good"),
    Kind("pdu=data-in drop", Act.READ, NO_ANSWER, f"violation: stat sn, then {LOST}"),
    _same("pdu=data-in close", Act.READ, LOST),
    _same("pdu=data-in restart drop", Act.READ, LOST),
    _same("pdu=data-in cut=20", Act.READ, LOST),
    Kind("pdu=data-in stall=60", Act.READ, NO_ANSWER, LOST),
    Kind("pdu=data-in truncate=40", Act.READ, NO_ANSWER, LOST),
    _same("pdu=data-in corrupt=100", Act.READ, "other data"),
    Kind("pdu=data-in duplicate=1", Act.READ, "good", f"good, then {LOST}"),
    Kind("pdu=data-in reorder", Act.READ_MANY, "good", "violation: data in order"),
    Kind("pdu=data-in digest=header", Act.READ_WITH_DIGESTS, LOST, f"violation: header digest, then {LOST}"),
    Kind("pdu=data-in digest=data", Act.READ_WITH_DIGESTS, "good", f"violation: data digest, then {LOST}"),
    _same("pdu=data-in set=status:8", Act.READ, "status 08h"),
    _same("pdu=text-response text=TargetName=iqn.2026-11.example:other\\\\0", Act.DISCOVER, "other names"),
)

_LOGIN = (
    _same("login=normal refuse=target-error", Act.LOGIN, REFUSED),
    Kind("login=normal redirect=localhost:{port}", Act.LOGIN, REFUSED, "good"),
)

_STORE = (
    _same("store=read delay=1ms", Act.READ, "good"),
    _same("store=read jitter=1ms", Act.READ, "good"),
    _same("store=read errno=ENODATA", Act.READ, "3/11/00"),
)

KINDS = (*_COMMAND, *_COPY, *_PDU, *_LOGIN, *_STORE)
