"""How Windows logs in: two requests, their keys in their order, and what it insists on in the answers."""

from collections.abc import Callable
from dataclasses import dataclass, field

from odx_target.initiator.connection import InitiatorConnection
from odx_target.initiator.errors import LoginFailed
from odx_target.initiator.login import Login, Request
from odx_target.initiator.options import SessionOptions
from odx_target.initiator.windows.rules import Finding, Rule
from odx_target.target.iscsi.framing import append_pdu
from odx_target.target.iscsi.negotiation import Offerer
from odx_target.target.iscsi.pdu import LoginRequest, LoginResponse
from odx_target.target.iscsi.text_format import Pairs, TextAssembly, TextError

INITIATOR_NAME = "iqn.1991-05.com.microsoft:odx-target"
RECEIVE_BYTES = 65_536
MAXIMUM_BURST_BYTES = 262_144
FIRST_TAG = 1
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
    ("MaxBurstLength", str(MAXIMUM_BURST_BYTES)),
    ("FirstBurstLength", "65536"),
    ("MaxConnections", "32"),
    ("MaxOutstandingR2T", "16"),
    ("DataPDUInOrder", "Yes"),
    ("DataSequenceInOrder", "Yes"),
]
TARGETS_OWN_KEYS = frozenset({"TargetAlias", "TargetAddress", "TargetPortalGroupTag", "MaxRecvDataSegmentLength"})
AUTHENTICATION_KEYS = frozenset({"AuthMethod", "CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"})


class LoginDeclined(LoginFailed):
    """The target broke a rule of the login that Windows insists on."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def isid(number: int) -> bytes:
    """The ISID of a host's session: its format, and a qualifier that differs from session to session."""
    return bytes([0x40, 0x00, 0x01, 0x37]) + (number & 0xFFFF).to_bytes(2, "big")


def session_options(number: int, initiator_name: str = INITIATOR_NAME, command_timeout_s: float = 75.0) -> SessionOptions:
    """The options of session `number` of a host."""
    return SessionOptions(
        isid(number),
        initiator_name,
        max_recv_data_segment_bytes=RECEIVE_BYTES,
        max_burst_bytes=MAXIMUM_BURST_BYTES,
        first_burst_bytes=RECEIVE_BYTES,
        command_timeout_s=command_timeout_s,
    )


@dataclass(slots=True)
class WindowsLogin(Login):
    """A login; `tell` is told the keys of each request and response, `note` the rules that are broken without harm."""

    tell: Callable[[str, Pairs], None] = lambda *_: None
    note: Callable[[Finding], None] = lambda _: None
    narrow_window_commands: int = 24
    _is_first: bool = True
    _seen: Pairs = field(default_factory=list)

    def __post_init__(self) -> None:
        Login.__post_init__(self)
        offers = DISCOVERY_KEYS if self.target_name is None else NORMAL_KEYS
        self._offerer = Offerer(dict(offers), self.parameters)

    def first(self) -> Request:
        request, _ = Login.first(self)
        pairs = [("InitiatorName", self.options.initiator_name), ("SessionType", self.parameters.session_type)]
        if self.target_name is not None:
            pairs.append(("TargetName", self.target_name))
        pairs.append(("AuthMethod", "None" if self.options.user is None else "CHAP"))
        return self._told(self._request(pairs, transit=request.transit))

    def take(self, response: LoginResponse, data: bytes) -> Request | None:
        """The next request, or None in full feature phase. Raises LoginDeclined, LoginFailed."""
        pairs = _pairs(data)
        self.tell("login response", pairs)
        if response.status == 0:
            self._insist(response, pairs)
        request = Login.take(self, response, data)
        if request is None:
            self._insist_at_end(response)
            return None
        return self._told(request)

    def _told(self, request: Request) -> Request:
        header, data = request
        header.connection_id = FIRST_CONNECTION
        self.tell("login request", _pairs(data))
        return request

    def _insist(self, response: LoginResponse, pairs: Pairs) -> None:
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

    def _insist_at_end(self, response: LoginResponse) -> None:
        parameters = self.parameters
        if parameters.first_burst_length > parameters.max_burst_length:
            raise _declined(Rule.BURST_LENGTHS, f"{parameters.first_burst_length} over {parameters.max_burst_length}")
        if not (parameters.data_pdu_in_order and parameters.data_sequence_in_order):
            raise _declined(Rule.DATA_ORDER)
        window = (response.max_cmd_sn - response.exp_cmd_sn + 1) & 0xFFFFFFFF
        if self.target_name is not None and window < self.narrow_window_commands:
            self.note(Finding(Rule.NARROW_COMMAND_WINDOW, "login", f"{window} commands"))

    def _finish(self, response: LoginResponse) -> None:
        if not response.tsih:
            raise _declined(Rule.NO_TSIH)
        Login._finish(self, response)  # noqa: SLF001 - its own base class


class WindowsConnection(InitiatorConnection):
    """Numbers its login as Windows does: initiator task tag, CmdSN and ExpStatSN begin at 1."""

    def __init__(self, login: WindowsLogin) -> None:
        super().__init__(login)
        self._exp_stat_sn = 1
        self._next_tag = FIRST_TAG + 1

    def _send_login(self, request: LoginRequest, data: bytes) -> None:
        request.initiator_task_tag = FIRST_TAG
        request.cmd_sn, request.exp_stat_sn = self._cmd_sn, self._exp_stat_sn
        append_pdu(self._output, request.encode_header(), [data] if data else ())


def _declined(rule: Rule, detail: str = "") -> LoginDeclined:
    return LoginDeclined(Finding(rule, "login", detail))


def _pairs(data: bytes) -> Pairs:
    """The keys of one PDU, for the trace; what cannot be read is told as it stands."""
    text = TextAssembly()
    try:
        text.add(data)
        return text.take()
    except TextError:
        return [("unreadable", bytes(data[:64]).hex())]
