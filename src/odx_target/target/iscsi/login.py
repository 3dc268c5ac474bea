"""The login phase of one connection (RFC 7143 6, 11.12, 11.13): requests in, answers out, no PDU sent here.

Stages, as CSG and NSG name them:

    SECURITY_NEGOTIATION -> LOGIN_OPERATIONAL_NEGOTIATION -> FULL_FEATURE_PHASE
    SECURITY_NEGOTIATION ----------------------------------> FULL_FEATURE_PHASE

The initiator picks the first stage and asks for each step with the T bit; the target agrees unless authentication is not
done yet. The keys of a request may be spread over several, all but the last with the C bit; each is answered by an empty
response. The first complete request says who wants what, and is where most refusals are made. Every refusal is a
LoginRefused with the status to send. The target offers nothing by itself: it answers, and declares its
TargetPortalGroupTag in the first response of a normal session (Windows waits for it there) and its
MaxRecvDataSegmentLength in the first response of the operational stage.
"""

from dataclasses import dataclass, replace

from odx_target.target.iscsi import limits
from odx_target.target.iscsi.directory import AuthenticationFailed, Authenticator, TargetDirectory
from odx_target.target.iscsi.header import Buffer
from odx_target.target.iscsi.negotiation import DISCOVERY, Answerer, NegotiationError
from odx_target.target.iscsi.opcodes import LoginStatus, Stage
from odx_target.target.iscsi.request_pdus import LoginRequest
from odx_target.target.iscsi.session import Admission, Connection, Session, SessionKey
from odx_target.target.iscsi.text_format import Pairs, TextAssembly, TextError, encode_pairs
from odx_target.target.iscsi.text_keys import KEY_BY_NAME, NONE, REJECT, RESERVED_ANSWERS, Kind, Parameters, Value

NEXT_STAGES: dict[int, tuple[Stage, ...]] = {
    Stage.SECURITY_NEGOTIATION: (Stage.LOGIN_OPERATIONAL_NEGOTIATION, Stage.FULL_FEATURE_PHASE),
    Stage.LOGIN_OPERATIONAL_NEGOTIATION: (Stage.FULL_FEATURE_PHASE,),
}

REFUSED_ADMISSIONS = {
    Admission.TOO_MANY_CONNECTIONS: LoginStatus.TOO_MANY_CONNECTIONS,
    Admission.TOO_MANY_SESSIONS: LoginStatus.OUT_OF_RESOURCES,
    Admission.NO_SUCH_SESSION: LoginStatus.SESSION_DOES_NOT_EXIST,
}

NOT_IN_NAMES = frozenset(" ,")  # RFC 7143 4.2.7.2; a comma ends the name in that of an initiator port

VERSION = 0x00  # RFC 7143 11.12.4: the only one

WISHES: dict[str, Value | tuple[str, ...]] = {
    "MaxConnections": 1,
    "ImmediateData": True,
    "InitialR2T": False,  # the result function is OR, so this leaves it to the initiator
    "MaxBurstLength": limits.MAX_BURST_BYTES,
    "FirstBurstLength": limits.MAX_FIRST_BURST_BYTES,
    "MaxOutstandingR2T": limits.MAX_OUTSTANDING_R2T,
    "DataPDUInOrder": True,
    "DataSequenceInOrder": True,
    "ErrorRecoveryLevel": 0,
    "DefaultTime2Wait": 0,  # a lost connection leaves nothing that would need time
    "DefaultTime2Retain": 0,  # nothing is kept of it either
    "TaskReporting": ("RFC3720",),
    "iSCSIProtocolLevel": 1,  # RFC 7144 defines 2, with task management functions that are not here
}
"""What the target wants where a result depends on both. Digests follow the initiator's order of preference."""


class LoginRefused(Exception):
    """The login ends with this status."""

    def __init__(self, status: LoginStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """What the response to one request says beside its numbers."""

    transit: bool
    current_stage: int
    next_stage: int
    text: bytes
    session: Session | None = None
    """The session that begins with this response, its login complete."""


class Login:
    """One connection's login. `connection` is what a session remembers, to end it when another login replaces it."""

    def __init__(self, directory: TargetDirectory, connection: Connection, portal_group_tag: int) -> None:
        self._directory = directory
        self._connection = connection
        self._portal_group_tag = portal_group_tag
        self._first: LoginRequest | None = None
        self._text = TextAssembly()
        self._answerer = Answerer(WISHES, Parameters())
        self._stage = 0
        self._session: Session | None = None
        self._authenticator: Authenticator | None = None
        self._method_is_agreed = False
        self._segment_length_declared = False

    @property
    def started(self) -> bool:
        """A login request has come."""
        return self._first is not None

    @property
    def parameters(self) -> Parameters:
        return self._answerer.parameters

    def receive(self, request: LoginRequest, data: Buffer) -> LoginAnswer:
        """Take a request with its data segment. Raises LoginRefused."""
        try:
            return self._receive(request, data)
        except (TextError, NegotiationError) as error:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, str(error)) from error
        except AuthenticationFailed as error:
            raise LoginRefused(error.status, str(error)) from error

    def _receive(self, request: LoginRequest, data: Buffer) -> LoginAnswer:
        self._check_header(request)
        self._text.add(data)
        if request.continued:
            return LoginAnswer(False, self._stage, 0, b"")
        offers = self._text.take()
        answers: Pairs = []
        if self._session is None:
            self._session = self._identify(request, offers)
            if not self._session.is_discovery:
                answers.append(("TargetPortalGroupTag", str(self._portal_group_tag)))
        answers += self._answer(offers)
        if request.transit and not self._method_is_agreed:
            self._require_authentication()
        if not (request.transit and self._may_leave_stage()):
            return LoginAnswer(False, self._stage, 0, encode_pairs(answers))
        return self._transit(request, encode_pairs(answers))

    def _check_header(self, request: LoginRequest) -> None:
        if request.version_min > VERSION:
            raise LoginRefused(LoginStatus.UNSUPPORTED_VERSION, f"initiator wants version {request.version_min} or later")
        if self._first is None:
            self._first, self._stage = request, request.current_stage
        first = self._first
        same = (request.isid, request.tsih, request.connection_id) == (first.isid, first.tsih, first.connection_id)
        if not same:
            raise LoginRefused(LoginStatus.INVALID_DURING_LOGIN, "ISID, TSIH or CID changed during the login")
        if request.current_stage != self._stage or self._stage not in NEXT_STAGES:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, f"stage {request.current_stage} is not the one the login is in")
        if request.transit and request.continued:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, "a request may not have both T and C set")
        if request.transit and request.next_stage not in NEXT_STAGES[self._stage]:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, f"no way from stage {self._stage} to {request.next_stage}")

    def _identify(self, request: LoginRequest, offers: Pairs) -> Session:
        """Who logs in, to what; the first complete request has the keys for it (RFC 7143 6.2.1, 13.5, 13.21)."""
        said = dict(offers)
        initiator_name, target_name = said.get("InitiatorName", ""), said.get("TargetName", "")
        session_type = said.get("SessionType", "Normal")
        if not initiator_name:
            raise LoginRefused(LoginStatus.MISSING_PARAMETER, "InitiatorName is missing")
        if not _is_name(initiator_name):
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, f"{initiator_name[:223]!a} is no iSCSI name")
        if session_type not in ("Normal", DISCOVERY):
            raise LoginRefused(LoginStatus.SESSION_TYPE_NOT_SUPPORTED, f"session type {session_type[:40]!a}")
        if session_type == DISCOVERY:
            target_name = ""
        elif not target_name:
            raise LoginRefused(LoginStatus.MISSING_PARAMETER, "TargetName is missing")
        elif target_name not in self._directory.target_names(initiator_name):
            raise LoginRefused(LoginStatus.NOT_FOUND, f"no target {target_name[:223]!a} for this initiator")
        key = initiator_name, request.isid, target_name, self._portal_group_tag
        self._admit(key, request)
        self.parameters.session_type = session_type
        self._authenticator = self._directory.authenticator(initiator_name, target_name)
        return Session(*key, request.connection_id, self.parameters, self._connection)

    def _admit(self, key: SessionKey, request: LoginRequest) -> None:
        """Refuse at once what the registry would refuse at the end."""
        verdict = self._directory.sessions.admission(key, request.tsih, request.connection_id)
        if verdict in REFUSED_ADMISSIONS:
            raise LoginRefused(REFUSED_ADMISSIONS[verdict], _refusal_text(verdict, request))
        known = self._directory.sessions.find(key)
        if verdict is Admission.CONNECTION_REINSTATEMENT and known is not None:
            self._answerer.parameters = reinstated_parameters(known.parameters)

    def _answer(self, offers: Pairs) -> Pairs:
        if self._stage == Stage.SECURITY_NEGOTIATION:
            return self._answer_security(offers)
        self._require_authentication()
        answers = self._answerer.answer(offers)
        if not self._segment_length_declared:
            self._segment_length_declared = True
            answers.append(("MaxRecvDataSegmentLength", str(limits.MAX_RECV_DATA_SEGMENT_BYTES)))
        return answers

    def _answer_security(self, offers: Pairs) -> Pairs:
        security = [pair for pair in offers if _is_security(pair[0])]
        answers = self._answerer.answer([pair for pair in offers if not _is_security(pair[0])], security_stage=True)
        agreed_before = self._method_is_agreed
        for name, value in security:
            if name == "AuthMethod":
                answers.append((name, self._choose_method(value)))
        method_keys = [pair for pair in security if pair[0] != "AuthMethod"]
        if self._authenticator is None:
            return answers + [(name, REJECT) for name, value in method_keys if value not in RESERVED_ANSWERS]
        if method_keys and not self._method_is_agreed:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, f"{method_keys[0][0]} before AuthMethod")
        if method_keys or agreed_before:
            answers += self._authenticator.answer(method_keys)
        return answers

    def _choose_method(self, offered: str) -> str:
        if self._method_is_agreed:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, "AuthMethod is offered a second time")
        wanted = NONE if self._authenticator is None else self._authenticator.method
        if wanted not in offered.split(","):
            raise AuthenticationFailed(f"initiator offers {offered[:80]!a}, the target wants {wanted}")
        self._method_is_agreed = True
        return wanted

    def _require_authentication(self) -> None:
        if self._authenticator is not None and not self._authenticator.done:
            raise AuthenticationFailed(f"initiator skips {self._authenticator.method}")

    def _may_leave_stage(self) -> bool:
        return self._authenticator is None or self._authenticator.done

    def _transit(self, request: LoginRequest, text: bytes) -> LoginAnswer:
        leaving, self._stage = self._stage, request.next_stage
        if self._stage != Stage.FULL_FEATURE_PHASE:
            return LoginAnswer(True, leaving, self._stage, text)
        assert self._session is not None
        verdict = self._directory.sessions.open(self._session, request.tsih)
        if verdict in REFUSED_ADMISSIONS:
            raise LoginRefused(REFUSED_ADMISSIONS[verdict], _refusal_text(verdict, request))
        return LoginAnswer(True, leaving, self._stage, text, self._session)


def _refusal_text(verdict: Admission, request: LoginRequest) -> str:
    return f"{verdict.name.lower().replace('_', ' ')}, TSIH {request.tsih}"


def _is_security(name: str) -> bool:
    key = KEY_BY_NAME.get(name)
    return key is not None and key.kind is Kind.SECURITY


def reinstated_parameters(known: Parameters) -> Parameters:
    """The start of a connection reinstatement: the session's values, the connection's own back at their defaults."""
    fresh = Parameters()
    return replace(
        known,
        header_digest=fresh.header_digest,
        data_digest=fresh.data_digest,
        max_send_data_segment_length=fresh.max_send_data_segment_length,
    )


def _is_name(text: str) -> bool:
    """Whether it has none of the characters that no iSCSI name has: blanks, commas, those that cannot be printed."""
    return text.isprintable() and not NOT_IN_NAMES & set(text)
