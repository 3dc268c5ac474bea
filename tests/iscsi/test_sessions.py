"""The rules for ISID and TSIH, reinstatement, and many sessions at the same time."""

from dataclasses import dataclass, field

import pytest

from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.negotiation.rules import DISCOVERY
from odx_target.iscsi.pdu.headers import LoginResponse
from odx_target.iscsi.pdu.opcodes import LoginStatus, Stage
from odx_target.iscsi.pdu.text import encode_pairs
from odx_target.iscsi.session.close_reason import CloseCode, CloseReason
from odx_target.iscsi.session.events import CommandReady, ConnectionEnding, SessionClosed, SessionOpened
from odx_target.iscsi.session.session_registry import Admission, Session, SessionRegistry
from tests.iscsi.conversation import Conversation, Directory


@dataclass(eq=False)
class Ended:
    reasons: list[CloseReason] = field(default_factory=list)

    def supersede(self, reason: CloseReason) -> None:
        self.reasons.append(reason)


def session(connection: Ended | None = None, isid: bytes = b"isid00", cid: int = 1, name: str = "iqn.a") -> Session:
    return Session(name, isid, "iqn.target", 1, cid, Parameters(), connection or Ended())


def test_tsih_is_unique_and_never_zero() -> None:
    registry = SessionRegistry(max_sessions=1 << 16)
    sessions = [session(isid=i.to_bytes(6)) for i in range(70_000 // 1000)]
    for each in sessions:
        registry.open(each, 0)
    assert len({each.tsih for each in sessions}) == len(sessions)
    for i in range(70_000):  # past the largest number, and past the numbers in use
        passing = session(isid=b"passin")
        registry.open(passing, 0)
        assert passing.tsih not in {0, *(each.tsih for each in sessions)}, i
        registry.close(passing)


TABLE = [
    ("new", 0, 1, Admission.NEW_SESSION),
    ("new", 5, 1, Admission.NO_SUCH_SESSION),
    ("known", 0, 1, Admission.SESSION_REINSTATEMENT),
    ("known", 0, 2, Admission.SESSION_REINSTATEMENT),
    ("known", 1, 1, Admission.CONNECTION_REINSTATEMENT),
    ("known", 1, 2, Admission.TOO_MANY_CONNECTIONS),
    ("known", 2, 1, Admission.NO_SUCH_SESSION),
]


@pytest.mark.parametrize(("isid", "tsih", "cid", "admission"), TABLE)
def test_what_isid_tsih_and_cid_mean(isid: str, tsih: int, cid: int, admission: Admission) -> None:
    registry = SessionRegistry()
    known = session(isid=b"known0")
    registry.open(known, 0)
    assert known.tsih == 1
    coming = session(isid=b"known0" if isid == "known" else b"new000", cid=cid)
    assert registry.admission(coming.key, tsih, cid) is admission
    assert registry.open(coming, tsih) is admission
    refused = admission in (Admission.NO_SUCH_SESSION, Admission.TOO_MANY_CONNECTIONS)
    assert (coming in registry.sessions) != refused


def discovery_session(number: int) -> Session:
    return Session("iqn.a", number.to_bytes(6, "big"), "", "192.0.2.1:3260", 1, Parameters(session_type=DISCOVERY), Ended())


def test_normal_and_discovery_sessions_have_a_limit_each() -> None:
    registry = SessionRegistry(max_sessions=3, max_discovery_sessions=2)
    for number in range(2):
        assert registry.open(discovery_session(number), 0) is Admission.NEW_SESSION
    assert registry.open(discovery_session(2), 0) is Admission.TOO_MANY_SESSIONS
    normal = [session(isid=number.to_bytes(6, "big")) for number in range(4)]
    assert [registry.open(each, 0) for each in normal] == [Admission.NEW_SESSION] * 3 + [Admission.TOO_MANY_SESSIONS]
    assert registry.open(discovery_session(1), 0) is Admission.SESSION_REINSTATEMENT
    assert registry.open(session(isid=bytes(6)), 0) is Admission.SESSION_REINSTATEMENT
    registry.close(registry.sessions[0])
    assert registry.admission(normal[3].key, 0, 1) is Admission.TOO_MANY_SESSIONS, "the place of a discovery session"
    assert registry.open(discovery_session(3), 0) is Admission.NEW_SESSION


def test_the_same_isid_of_another_initiator_is_another_session() -> None:
    registry = SessionRegistry()
    ended = Ended()
    registry.open(session(ended), 0)
    assert registry.open(session(name="iqn.b"), 0) is Admission.NEW_SESSION
    assert not ended.reasons


def test_session_reinstatement_ends_the_old_session_before_the_new_begins() -> None:
    directory = Directory()
    old = Conversation(directory).logged_in()
    command = old.read(4096)
    event = old.take_event(CommandReady)
    woken: list[bool] = []
    old.connection.on_wake = lambda: woken.append(old.connection.closed)
    new = Conversation(directory)
    new.log_in()
    assert woken == [True]
    assert new.tsih != old.tsih
    old.collect()
    assert event.aborted
    reason = CloseReason(CloseCode.SESSION_REINSTATED)
    assert old.connection.session is not None
    assert old.events == [SessionClosed(old.connection.session, reason), ConnectionEnding(reason)]
    old.reply(event, data=[bytes(4096)])
    assert old.unread == []
    assert command.initiator_task_tag
    assert [s.tsih for s in directory.sessions.sessions] == [new.tsih]
    assert len(directory.sessions._connections) == 1


def test_closing_a_superseded_connection_leaves_its_successor_alone() -> None:
    directory = Directory()
    old = Conversation(directory).logged_in()
    new = Conversation(directory).logged_in()
    old.connection.connection_lost("late", 1.0)
    assert [s.tsih for s in directory.sessions.sessions] == [new.tsih]
    assert old.connection.close_reason == CloseReason(CloseCode.SESSION_REINSTATED)


def test_connection_reinstatement_keeps_tsih_and_session_parameters() -> None:
    directory = Directory()
    old = Conversation(directory).logged_in(MaxBurstLength="4096", MaxRecvDataSegmentLength="512")
    new = Conversation(directory, tsih=old.tsih)
    response, _ = new.login_request(new.names(), Stage.LOGIN_OPERATIONAL_NEGOTIATION, Stage.FULL_FEATURE_PHASE)
    assert (response.status, response.tsih) == (0, old.tsih)
    assert old.connection.close_reason == CloseReason(CloseCode.CONNECTION_REINSTATED)
    assert new.connection.session is not None
    parameters = new.connection.session.parameters
    assert (parameters.max_burst_length, parameters.max_send_data_segment_length) == (4096, 8192)
    assert [type(event) for event in new.events] == [SessionOpened]


def test_a_second_connection_of_a_session_is_refused() -> None:
    directory = Directory()
    first = Conversation(directory).logged_in()
    second = Conversation(directory, tsih=first.tsih, connection_id=2)
    second.send(second.login_pdu(0, 1), encode_pairs(second.names().items()))
    assert second.take(LoginResponse).status == LoginStatus.TOO_MANY_CONNECTIONS
    assert not first.connection.closed


def test_a_session_that_ends_during_a_reinstating_login_is_not_found_any_more() -> None:
    directory = Directory()
    old = Conversation(directory).logged_in()
    new = Conversation(directory, tsih=old.tsih)
    new.login_request(new.names(), 0, 1)
    old.connection.connection_lost("gone", 1.0)
    new.send(new.login_pdu(1, 3))
    assert new.take(LoginResponse).status == LoginStatus.SESSION_DOES_NOT_EXIST


def test_a_target_that_is_taken_away_during_a_login_is_not_found_any_more() -> None:
    directory = Directory()
    talk = Conversation(directory)
    talk.login_request(talk.names(), 0, 1)
    directory.names = ()
    talk.send(talk.login_pdu(1, 3))
    assert talk.take(LoginResponse).status == LoginStatus.NOT_FOUND
    assert (talk.connection.closed, directory.sessions.sessions) == (True, [])


def test_sixty_four_sessions_side_by_side() -> None:
    directory = Directory()
    talks = [Conversation(directory, isid=i.to_bytes(6)).logged_in() for i in range(64)]
    assert len({talk.tsih for talk in talks}) == 64
    extra = Conversation(directory, isid=b"extra0")
    extra.send(extra.login_pdu(0, 1), encode_pairs(extra.names().items()))
    assert extra.take(LoginResponse).status == LoginStatus.OUT_OF_RESOURCES
    assert not any(talk.connection.closed for talk in talks)


def test_names_of_the_ports() -> None:
    talk = Conversation().logged_in()
    made = talk.connection.session
    assert made is not None
    assert made.initiator_port_name == "iqn.2026-11.io.odx-target:test,i,0x400001370000"
    assert made.target_port_name == "iqn.2026-11.io.odx-target:array,t,0x0001"
