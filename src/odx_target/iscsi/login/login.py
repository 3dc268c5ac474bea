"""The login phase of one connection (RFC 7143 6, 11.12, 11.13), without I/O: it takes requests and returns answers.

Stages, by their names in CSG and NSG:

    SECURITY_NEGOTIATION -> LOGIN_OPERATIONAL_NEGOTIATION -> FULL_FEATURE_PHASE
    SECURITY_NEGOTIATION ----------------------------------> FULL_FEATURE_PHASE

The initiator chooses the first stage and asks for each transition with the T bit. The target agrees if authentication is
complete. The keys of a request may be spread over several PDUs. Every PDU of the request except the last has the C bit and gets
an empty response. The keys of a response may also be spread over several PDUs. During a login each side accepts only 8192 bytes
in one PDU (6.3), even if this side has declared a larger length. The initiator sends empty requests between the parts of a
response. The stage can end only with the last part.

The first complete request names the initiator and the target. Most refusals are answers to this request. Every refusal is a
LoginRefused with the status to send. The target makes no offers of its own. The target answers the initiator's offers and
declares two keys. TargetPortalGroupTag is in the first response, because Windows waits for it there. MaxRecvDataSegmentLength
is in the first response of the operational stage.
"""

from dataclasses import replace

from odx_target.environment import Buffer
from odx_target.iscsi import limits
from odx_target.iscsi.login.login_answer import LoginAnswer, LoginRefused
from odx_target.iscsi.names import check_name, prepare_name
from odx_target.iscsi.negotiation.answerer import Answerer
from odx_target.iscsi.negotiation.burst_lengths import settle_first_burst_length
from odx_target.iscsi.negotiation.key_checks import Phase, check_is_offer, check_length, note_key
from odx_target.iscsi.negotiation.keys import KEY_BY_NAME, NONE, REJECT, RESERVED_ANSWERS, Kind, Parameters
from odx_target.iscsi.negotiation.rules import DISCOVERY, NegotiationError
from odx_target.iscsi.negotiation.wishes import WISHES
from odx_target.iscsi.pdu.framing import DEFAULT_MAX_DATA_SEGMENT_BYTES
from odx_target.iscsi.pdu.opcodes import LoginStatus, Stage
from odx_target.iscsi.pdu.requests import LoginRequest
from odx_target.iscsi.pdu.text import Pairs, TextAssembly, TextError, encode_pairs
from odx_target.iscsi.session.directory_interface import AuthenticationFailed, Authenticator, TargetDirectory
from odx_target.iscsi.session.session_registry import Admission, Connection, Session, SessionKey

NEXT_STAGES: dict[int, tuple[Stage, ...]] = {
    Stage.SECURITY_NEGOTIATION: (Stage.LOGIN_OPERATIONAL_NEGOTIATION, Stage.FULL_FEATURE_PHASE),
    Stage.LOGIN_OPERATIONAL_NEGOTIATION: (Stage.FULL_FEATURE_PHASE,),
}

REFUSED_ADMISSIONS = {
    Admission.TOO_MANY_CONNECTIONS: LoginStatus.TOO_MANY_CONNECTIONS,
    Admission.TOO_MANY_SESSIONS: LoginStatus.OUT_OF_RESOURCES,
    Admission.NO_SUCH_SESSION: LoginStatus.SESSION_DOES_NOT_EXIST,
}

NAMING_KEYS = frozenset({"InitiatorName", "TargetName", "SessionType"})
"""Keys that only the first complete request may have, because they identify the session (6.3, 13.4, 13.5, 13.21)."""

SAME_IN_ALL_REQUESTS = ("isid", "tsih", "connection_id", "initiator_task_tag", "version_min", "version_max")
"""Fields that must have the same value in all Login Requests of a login (11.12 to 11.12.7)."""

VERSION = 0x00
"""The only version of iSCSI (RFC 7143 11.12.4)."""


class Login:
    """The login of one connection. If another login replaces the session, the session registry ends `connection`."""

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
        self._unsent = b""
        self._said: set[str] = set()

    @property
    def started(self) -> bool:
        """True if a Login Request has arrived."""
        return self._first is not None

    @property
    def target_name(self) -> str | None:
        """Name of the target, or an empty name for a discovery. None until the initiator has named them."""
        return None if self._session is None else self._session.target_name

    @property
    def parameters(self) -> Parameters:
        return self._answerer.parameters

    def receive(self, request: LoginRequest, data: Buffer) -> LoginAnswer:
        """Return the answer to a request with its data segment. Raises LoginRefused."""
        try:
            return self._receive(request, data)
        except (TextError, NegotiationError) as error:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, str(error)) from error
        except AuthenticationFailed as error:
            raise LoginRefused(error.status, str(error)) from error

    def _receive(self, request: LoginRequest, data: Buffer) -> LoginAnswer:
        self._check_header(request)
        if self._unsent:
            if len(data) or request.continued:
                raise NegotiationError("keys in a request for the next part of an answer")
            return self._respond(request)
        self._text.add(data)
        if request.continued:
            return LoginAnswer(False, self._stage, 0, b"")
        offers = self._text.take()
        self._check_said(offers)
        answers: Pairs = []
        if self._session is None:
            self._session = self._identify(request, offers)
            answers.append(("TargetPortalGroupTag", str(self._portal_group_tag)))
        elif late := NAMING_KEYS.intersection(name for name, _ in offers):
            raise NegotiationError(f"{', '.join(sorted(late))} after the first request")
        answers += self._answer(offers)
        if request.transit and not self._method_is_agreed:
            self._require_authentication()
        self._unsent = encode_pairs(answers)
        return self._respond(request)

    def _check_said(self, offers: Pairs) -> None:
        """Check that no key is sent twice in a login, and that no value is a reserved answer (6.2, 6.3)."""
        for name, value in offers:
            check_is_offer(name, value)
            note_key(name, self._said)

    def _respond(self, request: LoginRequest) -> LoginAnswer:
        """Return the next part of the answers, at most as long as one response can be. The stage can end only with the last
        part.
        """
        part, self._unsent = (
            self._unsent[:DEFAULT_MAX_DATA_SEGMENT_BYTES],
            self._unsent[DEFAULT_MAX_DATA_SEGMENT_BYTES:],
        )
        if self._unsent:
            return LoginAnswer(False, self._stage, 0, part, continued=True)
        if not (request.transit and self._may_leave_stage()):
            return LoginAnswer(False, self._stage, 0, part)
        return self._transit(request, part)

    def _check_header(self, request: LoginRequest) -> None:
        if request.version_min > VERSION:
            raise LoginRefused(LoginStatus.UNSUPPORTED_VERSION, f"initiator wants version {request.version_min} or later")
        if self._first is None:
            self._first, self._stage = request, request.current_stage
        for field in SAME_IN_ALL_REQUESTS:
            if getattr(request, field) != getattr(self._first, field):
                raise LoginRefused(LoginStatus.INITIATOR_ERROR, f"{field} changed during the login")
        if request.current_stage != self._stage or self._stage not in NEXT_STAGES:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, f"the login is not in stage {request.current_stage}")
        if request.transit and request.continued:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, "a request may not have both T and C set")
        if request.transit and request.next_stage not in NEXT_STAGES[self._stage]:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, f"no way from stage {self._stage} to {request.next_stage}")

    def _identify(self, request: LoginRequest, offers: Pairs) -> Session:
        """Return the session that the keys of the first complete request identify (RFC 7143 6.2.1, 13.5, 13.21)."""
        said = dict(offers)
        initiator_name, target_name = said.get("InitiatorName", ""), said.get("TargetName", "")
        session_type = said.get("SessionType", "Normal")
        if not initiator_name:
            raise LoginRefused(LoginStatus.MISSING_PARAMETER, "InitiatorName is missing")
        if session_type not in ("Normal", DISCOVERY):
            raise LoginRefused(LoginStatus.SESSION_TYPE_NOT_SUPPORTED, f"session type {session_type[:40]!a}")
        try:
            check_name(initiator_name)
        except ValueError as error:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, str(error)) from error
        initiator_name = prepare_name(initiator_name)
        if target_name or session_type == "Normal":
            target_name = self._find_target(initiator_name, target_name)
            self._redirect(initiator_name, target_name)
            self._require_online(target_name)
        # A session without a target has no portal group, so its key has the portal instead (7.4.2.1).
        port = self._portal_group_tag if target_name else self._directory.portal
        key = initiator_name, request.isid, target_name, port
        self._admit(key, request, is_discovery=session_type == DISCOVERY)
        self.parameters.session_type = session_type
        self._authenticator = self._directory.authenticator(initiator_name, target_name)
        return Session(*key, request.connection_id, self.parameters, self._connection)

    def _find_target(self, initiator_name: str, target_name: str) -> str:
        """Return a target name as the array writes it. The initiator may have sent an equal name in another form."""
        if not target_name:
            raise LoginRefused(LoginStatus.MISSING_PARAMETER, "TargetName is missing")
        prepared = prepare_name(target_name)
        for name in self._directory.target_names(initiator_name):
            if prepare_name(name) == prepared:
                return name
        raise LoginRefused(LoginStatus.NOT_FOUND, f"no target {target_name[:223]!a} for this initiator")

    def _require_access(self, session: Session) -> None:
        """Refuse the login if its target was removed, became invisible to the initiator, or went offline, while the login was
        under way.
        """
        if session.target_name:
            self._require_online(session.target_name)
        if session.target_name and session.target_name not in self._directory.target_names(session.initiator_name):
            raise LoginRefused(LoginStatus.NOT_FOUND, f"target {session.target_name[:223]!a} was taken away during the login")

    def _require_online(self, target_name: str) -> None:
        """Refuse the login if the target port is offline (SPC-4 5.15.2.4). Hosts try again later (RFC 7143 11.13.5)."""
        if self._directory.is_offline(target_name, self._portal_group_tag):
            detail = f"target port {target_name[:223]!a},t,{self._portal_group_tag} is offline"
            raise LoginRefused(LoginStatus.SERVICE_UNAVAILABLE, detail)

    def _redirect(self, initiator_name: str, target_name: str) -> None:
        """Refuse the login with another address if the directory redirects it (11.13.5). The initiator has not authenticated
        yet, which the RFC allows.
        """
        redirection = self._directory.redirection(initiator_name, target_name)
        if redirection is not None:
            status = LoginStatus.TARGET_MOVED_PERMANENTLY if redirection.permanent else LoginStatus.TARGET_MOVED_TEMPORARILY
            text = encode_pairs([("TargetAddress", redirection.address)])
            raise LoginRefused(status, f"redirected to {redirection.address}", text)

    def _admit(self, key: SessionKey, request: LoginRequest, *, is_discovery: bool) -> None:
        """Refuse the login if the session registry does not admit the session."""
        sessions = self._directory.sessions
        verdict = sessions.admission(key, request.tsih, request.connection_id, is_discovery=is_discovery)
        if verdict in REFUSED_ADMISSIONS:
            raise LoginRefused(REFUSED_ADMISSIONS[verdict], _refusal_text(verdict, request))
        known = sessions.find(key)
        if verdict is Admission.CONNECTION_REINSTATEMENT and known is not None:
            if known.is_discovery is not is_discovery:
                raise NegotiationError("a connection of another type than its session")
            self._answerer.parameters = reinstated_parameters(known.parameters)
            self._answerer.is_leading = False

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
        answers = self._answerer.answer([pair for pair in offers if not _is_security(pair[0])], Phase.SECURITY)
        agreed_before = self._method_is_agreed
        for name, value in security:
            check_length(name, value)
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
        if leaving == Stage.LOGIN_OPERATIONAL_NEGOTIATION:
            settle_first_burst_length(self.parameters, was_negotiated="FirstBurstLength" in self._answerer.seen)
        if self._stage != Stage.FULL_FEATURE_PHASE:
            return LoginAnswer(True, leaving, self._stage, text)
        assert self._session is not None
        self._require_access(self._session)
        verdict = self._directory.sessions.open(self._session, request.tsih)
        if verdict in REFUSED_ADMISSIONS:
            raise LoginRefused(REFUSED_ADMISSIONS[verdict], _refusal_text(verdict, request))
        return LoginAnswer(True, leaving, self._stage, text, session=self._session)


def _refusal_text(verdict: Admission, request: LoginRequest) -> str:
    return f"{verdict.name.lower().replace('_', ' ')}, TSIH {request.tsih}"


def _is_security(name: str) -> bool:
    key = KEY_BY_NAME.get(name)
    return key is not None and key.kind is Kind.SECURITY


def reinstated_parameters(known: Parameters) -> Parameters:
    """Return the parameters with which the login of a reinstated connection begins. The parameters of the session keep their
    values. The parameters of the connection have their defaults.
    """
    fresh = Parameters()
    return replace(
        known,
        header_digest=fresh.header_digest,
        data_digest=fresh.data_digest,
        max_send_data_segment_length=fresh.max_send_data_segment_length,
    )
