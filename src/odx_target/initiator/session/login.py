"""The initiator's side of the login phase, without I/O (RFC 7143 6, 11.12, 11.13).

    SECURITY --AuthMethod settled--> OPERATIONAL --keys settled--> DONE
        |  ^                              |  ^
        +--+ CHAP, one way or both        +--+ the target needs another request

Each step is one request and its response. If a PDU of a response has the C bit, the response continues in another PDU. The
initiator requests each further PDU by an empty Login Request. The text of a failure names the target.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from odx_target.initiator.errors import LoginFailed
from odx_target.initiator.session.chap import ALGORITHM_MD5, OwnChallenge, answer_challenge
from odx_target.initiator.session.options import SessionOptions, operational_offers
from odx_target.initiator.session.redirection import LoginRedirected
from odx_target.initiator.session.target_address import parse_target_address
from odx_target.initiator.url import Portal
from odx_target.iscsi.negotiation.answerer import Answerer
from odx_target.iscsi.negotiation.keys import KEY_BY_NAME, Parameters
from odx_target.iscsi.negotiation.offerer import DECLARATIONS, REPEATABLE, Offerer
from odx_target.iscsi.negotiation.rules import NegotiationError
from odx_target.iscsi.pdu.headers import LoginRequest, LoginResponse
from odx_target.iscsi.pdu.opcodes import LoginStatus, Stage
from odx_target.iscsi.pdu.text import Pairs, TextAssembly, TextError, encode_pairs

MAX_ROUNDS = 16
"""Maximum number of requests in one login. No negotiation needs more requests, so a target that asks for more would never end
the login."""
VERSION = 0x00
"""The only version of iSCSI (11.12.4)."""
REDIRECTION = 1
"""Status class of a redirection."""
UNASKED_WISHES = {"ErrorRecoveryLevel": 0, "MaxConnections": 1, "DataPDUInOrder": True, "DataSequenceInOrder": True}
"""The values that the initiator wants for some keys, if the target offers them although the initiator did not. If the target
offers any other such key, the initiator accepts the offered value.
"""

Request = tuple[LoginRequest, bytes]


@dataclass(slots=True)
class Login:
    """One login. If `target_name` is None, the login opens a discovery session.

    After `take` has returned None, `parameters` has the agreed values, and `tsih` is the handle of the session.
    """

    options: SessionOptions
    target_name: str | None
    parameters: Parameters = field(default_factory=Parameters)
    tsih: int = 0
    _stage: Stage = Stage.SECURITY_NEGOTIATION
    _rounds: int = 0
    _asks_to_transit: bool = False
    _said: set[str] = field(default_factory=set)
    _text: TextAssembly = field(default_factory=TextAssembly)
    _answer: Callable[[Pairs], Pairs] = field(init=False)
    _challenge: OwnChallenge = field(init=False)
    _offerer: Offerer = field(init=False)
    _unasked: Answerer = field(init=False)

    def __post_init__(self) -> None:
        discovery = self.target_name is None
        self.parameters.session_type = "Discovery" if discovery else "Normal"
        offers = operational_offers(self.options, discovery=discovery)
        self._offerer = Offerer(offers, self.parameters)
        self._unasked = Answerer(UNASKED_WISHES, self.parameters)
        self._answer = self._settle_method

    def first(self) -> Request:
        """Return the first request, with the names of both ends and the offered authentication methods."""
        pairs = [("InitiatorName", self.options.initiator_name), ("SessionType", self.parameters.session_type)]
        if self.target_name is not None:
            pairs.append(("TargetName", self.target_name))
        pairs.append(("AuthMethod", _methods(self.options)))
        return self._request(pairs)

    def take(self, response: LoginResponse, data: bytes) -> Request | None:
        """Return the next request, or None when the session is in full feature phase. Raises LoginFailed, LoginRedirected."""
        try:
            return self._take_response(response, data)
        except (TextError, NegotiationError) as error:
            raise LoginFailed(f"{self.place}: login negotiation failed: {error}") from error
        except LoginFailed as failure:
            failure.args = (f"{self.place}: {failure}",)
            raise

    @property
    def place(self) -> str:
        """Name of the target for messages; "discovery" in a discovery session."""
        return self.target_name or "discovery"

    def _take_response(self, response: LoginResponse, data: bytes) -> Request | None:
        self._check_status(response, data)
        self._check_flags(response)
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            raise LoginFailed(f"the target wants more than {MAX_ROUNDS} login requests")
        self._text.add(data)
        if response.continued:
            return self._request([], transit=self._asks_to_transit)
        return self._next(response, self._text.take())

    def _check_flags(self, response: LoginResponse) -> None:
        if response.transit and response.continued:
            raise LoginFailed("the target ends a login stage in the middle of its keys")
        if response.transit and not self._asks_to_transit:
            raise LoginFailed("the target ends a login stage unasked")
        if response.version_active != VERSION:
            raise LoginFailed(f"the target uses version {response.version_active} of iSCSI")

    def _next(self, response: LoginResponse, answers: Pairs) -> Request | None:
        for name, _ in answers:
            if name in self._said - REPEATABLE:
                raise LoginFailed(f"the target sent {name} twice")
            self._said.add(name)
        replies = self._answer(answers)
        if not response.transit:
            return self._request(replies)
        if response.next_stage == Stage.FULL_FEATURE_PHASE and self._stage == Stage.LOGIN_OPERATIONAL_NEGOTIATION:
            self._finish(response)
            return None
        if response.next_stage != Stage.LOGIN_OPERATIONAL_NEGOTIATION or self._stage != Stage.SECURITY_NEGOTIATION:
            raise LoginFailed(f"the target goes to login stage {response.next_stage} from {int(self._stage)}")
        if self._answer in (self._settle_proof, self._settle_targets_proof):
            raise LoginFailed("the target ended authentication without asking for proof")
        self._stage, self._answer = Stage.LOGIN_OPERATIONAL_NEGOTIATION, self._settle_keys
        return self._request(list(self._offerer.offers.items()))

    def _settle_method(self, answers: Pairs) -> Pairs:
        """Return the keys to send after the target has chosen an authentication method. If the target chose None, there is no
        authentication.
        """
        method = dict(answers).get("AuthMethod", "None")
        self._take_declarations(answers)
        if method == "CHAP" and self.options.user is not None:
            self._answer = self._settle_proof
            return [("CHAP_A", ALGORITHM_MD5)]
        if method != "None":
            wanted = "a user and a secret (iscsi://USER%SECRET@...)" if method == "CHAP" else f"AuthMethod {method[:40]!r}"
            raise LoginFailed(f"the target wants {wanted}")
        if self.options.asks_for_proof:
            raise LoginFailed("the target does without authentication, although it was asked to authenticate itself")
        return []

    def _settle_proof(self, answers: Pairs) -> Pairs:
        options = self.options
        proof = answer_challenge(options.user or "", options.secret or "", dict(answers))
        self._answer = self._settle_nothing
        if options.asks_for_proof:
            assert options.entropy is not None, "a challenge takes entropy"
            self._challenge = OwnChallenge.fresh(options.entropy)
            self._answer = self._settle_targets_proof
            proof |= self._challenge.keys
        return list(proof.items())

    def _settle_targets_proof(self, answers: Pairs) -> Pairs:
        options = self.options
        self._challenge.check(options.target_user or "", options.target_secret or "", options.secret or "", dict(answers))
        self._answer = self._settle_nothing
        return self._answer(answers)

    def _settle_nothing(self, answers: Pairs) -> Pairs:
        self._take_declarations(answers)
        return []

    def _settle_keys(self, answers: Pairs) -> Pairs:
        known = [(name, value) for name, value in answers if name in self._offerer.offers or _is_declaration(name)]
        self._offerer.accept(known)
        return self._unasked.answer([pair for pair in answers if pair not in known])

    def _take_declarations(self, answers: Pairs) -> None:
        self._offerer.accept([(name, value) for name, value in answers if _is_declaration(name)])

    def _finish(self, response: LoginResponse) -> None:
        if not response.tsih:
            raise LoginFailed("the target gave the session no handle (TSIH 0)")
        self.tsih = response.tsih
        self._offerer.settle_unanswered()

    def _request(self, pairs: Pairs, *, transit: bool = True) -> Request:
        """Return a request of the current stage. The T bit is 0 if `transit` is False, or if the request begins CHAP."""
        security = self._stage == Stage.SECURITY_NEGOTIATION
        transit = transit and not any(name == "CHAP_A" for name, _ in pairs)
        self._asks_to_transit = transit
        following = Stage.LOGIN_OPERATIONAL_NEGOTIATION if security else Stage.FULL_FEATURE_PHASE
        data = encode_pairs(pairs)
        request = LoginRequest(
            transit=transit,
            current_stage=self._stage,
            next_stage=following if transit else 0,
            data_segment_length=len(data),
            isid=self.options.isid,
        )
        return request, data

    def _check_status(self, response: LoginResponse, data: bytes) -> None:
        if response.status == LoginStatus.SUCCESS:
            if response.current_stage != self._stage:
                raise LoginFailed(f"the target answers for login stage {response.current_stage}, not {int(self._stage)}")
            return
        try:
            words = LoginStatus(response.status).name.lower().replace("_", " ")
        except ValueError:
            words = "unknown status"
        refused = f"login refused: {words} ({response.status >> 8:02X}h/{response.status & 0xFF:02X}h)"
        if response.status >> 8 == REDIRECTION:
            portals = _portals(data)
            raise LoginRedirected(f"{refused}, it is at {', '.join(map(str, portals))}", self.place, portals)
        raise LoginFailed(refused)


def _methods(options: SessionOptions) -> str:
    if options.user is None:
        return "None"
    return "CHAP" if options.asks_for_proof else "CHAP,None"


def _is_declaration(name: str) -> bool:
    return name in KEY_BY_NAME and KEY_BY_NAME[name].kind in DECLARATIONS


def _portals(data: bytes) -> list[Portal]:
    """Return the portals of a redirection (11.13.5). Raises LoginFailed if the redirection has no usable address."""
    text = TextAssembly()
    text.add(data)
    portals: list[Portal] = []
    fault: ValueError | None = None
    for address in [value for name, value in text.take() if name == "TargetAddress"]:
        try:
            portals.append(parse_target_address(address))
        except ValueError as error:
            fault = fault or error
    if portals:
        return portals
    if fault is not None:
        raise LoginFailed(f"the target has moved to an address that cannot be used: {fault}") from fault
    raise LoginFailed("the target has moved and does not name an address")
