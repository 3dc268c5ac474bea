"""The login of Windows: two requests, the order of their keys, and the rules for the answers."""

from collections.abc import Callable
from dataclasses import dataclass, field

from odx_target.initiator.errors import LoginFailed
from odx_target.initiator.session.login import Login, Request
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.session.redirection import LoginRedirected
from odx_target.initiator.windows.rules import Finding, Rule
from odx_target.initiator.windows.session.chap_rules import judge_challenge, judge_method, judge_secrets
from odx_target.iscsi.negotiation.offerer import Offerer
from odx_target.iscsi.pdu.headers import LoginResponse
from odx_target.iscsi.pdu.opcodes import LoginStatus
from odx_target.iscsi.pdu.text import Pairs, TextAssembly, TextError

INITIATOR_NAME = "iqn.1991-05.com.microsoft:odx-target"
RECEIVE_BYTES = 65_536
MAX_BURST_BYTES = 262_144
FIRST_CONNECTION = 1
DISCOVERY_KEYS: Pairs = [
    ("HeaderDigest", "None,CRC32C"),
    ("DataDigest", "None,CRC32C"),
    ("MaxRecvDataSegmentLength", str(RECEIVE_BYTES)),
    ("DefaultTime2Wait", "0"),
    ("DefaultTime2Retain", "60"),
]
NORMAL_KEYS: Pairs = [
    *DISCOVERY_KEYS,
    ("ErrorRecoveryLevel", "2"),
    ("InitialR2T", "No"),
    ("ImmediateData", "Yes"),
    ("MaxBurstLength", str(MAX_BURST_BYTES)),
    ("FirstBurstLength", "65536"),
    ("MaxConnections", "32"),
    ("MaxOutstandingR2T", "16"),
    ("DataPDUInOrder", "Yes"),
    ("DataSequenceInOrder", "Yes"),
]
TARGETS_OWN_KEYS = frozenset({"TargetAlias", "TargetAddress", "TargetPortalGroupTag", "MaxRecvDataSegmentLength"})
AUTHENTICATION_KEYS = frozenset({"AuthMethod", "CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"})

ORDERS = (("DataPDUInOrder", Rule.DATA_PDU_ORDER), ("DataSequenceInOrder", Rule.DATA_SEQUENCE_ORDER))


class LoginDeclined(LoginFailed):
    """The target broke a rule, and Windows therefore ends the login."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def isid(number: int) -> bytes:
    """Return the ISID of a host's session. The ISID has a fixed format and a qualifier that is different in each session."""
    return bytes([0x40, 0x00, 0x01, 0x37]) + (number & 0xFFFF).to_bytes(2, "big")


def session_options(
    number: int, initiator_name: str = INITIATOR_NAME, command_timeout_s: float = 75.0, *, digests: bool = False
) -> SessionOptions:
    """Return the options of session `number` of a host. If `digests` is True, the login fails when the target declines a
    digest.
    """
    return SessionOptions(
        isid(number),
        initiator_name,
        header_digest=digests,
        data_digest=digests,
        max_recv_data_segment_bytes=RECEIVE_BYTES,
        max_burst_bytes=MAX_BURST_BYTES,
        first_burst_bytes=RECEIVE_BYTES,
        command_timeout_s=command_timeout_s,
    )


@dataclass(slots=True)
class WindowsLogin(Login):
    """A login of Windows. Raises LoginDeclined for secrets that Windows does not accept.

    `tell` is called with the keys of each request and response. `note` is called with each finding that does not end the login.
    If the options request digests, the login offers CRC32C as the only choice.
    """

    tell: Callable[[str, Pairs], None] = lambda *_: None
    note: Callable[[Finding], None] = lambda _: None
    narrow_window_commands: int = 24
    _is_first: bool = True
    _seen: Pairs = field(default_factory=list)

    def __post_init__(self) -> None:
        Login.__post_init__(self)
        offers = dict(DISCOVERY_KEYS if self.target_name is None else NORMAL_KEYS)
        offers |= {name: "CRC32C" for name, _ in self._wanted_digests()}
        self._offerer = Offerer(offers, self.parameters)
        _insist(judge_secrets(self.options.secret, self.options.target_secret))

    def first(self) -> Request:
        request, _ = Login.first(self)
        pairs = [("InitiatorName", self.options.initiator_name), ("SessionType", self.parameters.session_type)]
        if self.target_name is not None:
            pairs.append(("TargetName", self.target_name))
        pairs.append(("AuthMethod", "None" if self.options.user is None else "CHAP"))
        return self._told(self._request(pairs, transit=request.transit))

    def take(self, response: LoginResponse, data: bytes) -> Request | None:
        """Return the next request, or None in full feature phase. Raises LoginDeclined, LoginFailed, LoginRedirected."""
        pairs = _pairs(data)
        self.tell("login response", pairs)
        if response.status == LoginStatus.SUCCESS:
            self._judge(response, pairs)
        request = self._take(response, data)
        if request is None:
            self._judge_end(response)
            return None
        return self._told(request)

    def _take(self, response: LoginResponse, data: bytes) -> Request | None:
        expects_proof = self._answer == self._settle_targets_proof
        try:
            return Login.take(self, response, data)
        except LoginRedirected:
            raise
        except LoginFailed as failure:
            if response.status != LoginStatus.SUCCESS:
                raise _declined(Rule.LOGIN_REFUSED, str(failure)) from failure
            if expects_proof and not response.continued:
                raise _declined(Rule.CHAP_PROOF) from failure
            raise

    def _told(self, request: Request) -> Request:
        header, data = request
        header.connection_id = FIRST_CONNECTION
        self.tell("login request", _pairs(data))
        return request

    def _judge(self, response: LoginResponse, pairs: Pairs) -> None:
        names = {name for name, _ in pairs}
        if self._is_first:
            if self.target_name is not None and "TargetPortalGroupTag" not in names:
                raise _declined(Rule.NO_PORTAL_GROUP_TAG)
            if response.tsih:
                raise _declined(Rule.TSIH_TOO_EARLY, f"{response.tsih:04X}h")
            if "AuthMethod" not in names and not response.continued:
                raise _declined(Rule.NO_AUTH_METHOD)
        self._is_first = False
        unasked = names - TARGETS_OWN_KEYS - AUTHENTICATION_KEYS - set(self._offerer.offers)
        if unasked:
            raise _declined(Rule.KEY_NOT_OFFERED, ", ".join(sorted(unasked)))
        window = (response.max_cmd_sn - response.exp_cmd_sn + 1) & 0xFFFFFFFF
        if not 0 < window < 1 << 31:
            raise _declined(Rule.COMMAND_WINDOW_CLOSED, f"ExpCmdSN {response.exp_cmd_sn}, MaxCmdSN {response.max_cmd_sn}")
        self._seen += pairs
        if not response.continued:
            seen, self._seen = dict(self._seen), []
            self._judge_keys(seen)

    def _judge_keys(self, keys: dict[str, str]) -> None:
        """Check the keys of a complete response, joined from all its PDUs."""
        if self._answer == self._settle_method and "AuthMethod" in keys:
            _insist(judge_method(keys["AuthMethod"], self.options.user))
        elif self._answer == self._settle_proof:
            _insist(judge_challenge(keys))
        for name, rule in ORDERS:
            if keys.get(name, "Yes") != "Yes":
                raise _declined(rule, f"{name}={keys[name][:40]}")
        for name, rule in self._wanted_digests():
            if keys.get(name, "CRC32C") != "CRC32C":
                raise _declined(rule, f"{name}={keys[name][:40]}")

    def _wanted_digests(self) -> list[tuple[str, Rule]]:
        wanted = [
            ("HeaderDigest", self.options.header_digest, Rule.HEADER_DIGEST_REFUSED),
            ("DataDigest", self.options.data_digest, Rule.DATA_DIGEST_REFUSED),
        ]
        return [(name, rule) for name, is_wanted, rule in wanted if is_wanted]

    def _judge_end(self, response: LoginResponse) -> None:
        parameters = self.parameters
        if parameters.first_burst_length > parameters.max_burst_length:
            raise _declined(Rule.BURST_LENGTHS, f"{parameters.first_burst_length} over {parameters.max_burst_length}")
        window = (response.max_cmd_sn - response.exp_cmd_sn + 1) & 0xFFFFFFFF
        if self.target_name is not None and window < self.narrow_window_commands:
            self.note(Finding(Rule.NARROW_COMMAND_WINDOW, "login", f"{window} commands"))

    def _finish(self, response: LoginResponse) -> None:
        if not response.tsih:
            raise _declined(Rule.NO_TSIH)
        Login._finish(self, response)  # noqa: SLF001 - its own base class


def _insist(broken: tuple[Rule, str] | None) -> None:
    if broken is not None:
        raise _declined(*broken)


def _declined(rule: Rule, detail: str = "") -> LoginDeclined:
    return LoginDeclined(Finding(rule, "login", detail))


def _pairs(data: bytes) -> Pairs:
    """Return the keys of one PDU, for the trace. If the keys cannot be read, return one pair with the bytes in hexadecimal."""
    text = TextAssembly()
    try:
        text.add(data)
        return text.take()
    except TextError:
        return [("unreadable", bytes(data[:64]).hex())]
