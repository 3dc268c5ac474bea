"""The text format and the table of keys, for both roles."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.iscsi.negotiation.answerer import Answerer
from odx_target.iscsi.negotiation.key_checks import Phase, check_length
from odx_target.iscsi.negotiation.keys import KEY_BY_NAME, KEYS, Key, Kind, Parameters, Use, decode_boolean, decode_number
from odx_target.iscsi.negotiation.offerer import Offerer
from odx_target.iscsi.negotiation.rules import NegotiationError
from odx_target.iscsi.negotiation.wishes import WISHES
from odx_target.iscsi.pdu import text as text_format
from odx_target.iscsi.pdu.text import TextAssembly, TextError, decode_pairs, encode_pairs

NEGOTIATED = [key for key in KEYS if key.kind in (Kind.LIST, Kind.MINIMUM, Kind.MAXIMUM, Kind.AND, Kind.OR)]


def answer(*offers: tuple[str, str], session_type: str = "Normal", phase: Phase = Phase.OPERATIONAL) -> list[tuple[str, str]]:
    return Answerer(WISHES, Parameters(session_type=session_type)).answer(list(offers), phase)


class TestFormat:
    @given(
        st.lists(st.tuples(st.sampled_from(sorted(KEY_BY_NAME)), st.text(st.characters(exclude_characters="\0"), max_size=60)))
    )
    @settings(max_examples=100, deadline=None)
    def test_pairs_survive_whole_and_in_pieces(self, pairs: list[tuple[str, str]]) -> None:
        try:
            text = encode_pairs(pairs)
        except UnicodeEncodeError:
            return
        assert decode_pairs(text) == pairs
        assembly = TextAssembly()
        for byte in text:
            assembly.add(bytes([byte]))
        assert assembly.take() == pairs
        assert assembly.take() == []

    def test_missing_last_zero_and_empty_strings_are_forgiven(self) -> None:
        assert decode_pairs(b"\0A=1\0\0B=2") == [("A", "1"), ("B", "2")]

    def test_a_value_may_hold_equals_signs_and_nothing(self) -> None:
        assert decode_pairs(b"A==b=\0B=\0") == [("A", "=b="), ("B", "")]

    @pytest.mark.parametrize("text", [b"A\0", b"=1\0", b"A b=1\0", b"\xff=1\0", b"A=\xff\0", b"1A=2\0", "Ä=1\0".encode()])
    def test_what_is_no_pair_is_refused(self, text: bytes) -> None:
        with pytest.raises(TextError):
            decode_pairs(text)

    def test_key_length_is_bounded(self) -> None:
        assert decode_pairs(b"A" * 63 + b"=1\0")
        with pytest.raises(TextError, match="63"):
            decode_pairs(b"A" * 64 + b"=1\0")

    def test_total_length_is_bounded(self) -> None:
        assembly = TextAssembly()
        for _ in range(8):
            assembly.add(bytes(text_format.MAX_TEXT_BYTES // 8))
        with pytest.raises(TextError, match="65536"):
            assembly.add(b"x")

    @given(st.binary(max_size=100))
    @settings(max_examples=200, deadline=None)
    def test_any_bytes_are_pairs_or_a_text_error(self, text: bytes) -> None:
        try:
            pairs = decode_pairs(text)
        except TextError:
            return
        assert decode_pairs(encode_pairs(pairs)) == pairs


class TestValues:
    @pytest.mark.parametrize(
        ("text", "number"),
        [("0", 0), ("262144", 262144), ("0x40000", 262144), ("0XfF", 255), ("007", 7), ("0x" + "0" * 40 + "2a", 42)],
    )
    def test_numbers(self, text: str, number: int) -> None:
        assert decode_number(text) == number

    @pytest.mark.parametrize("text", ["", "0x", "-1", "+1", "1_0", " 1", "1.5", "x", "٣", "9" * 21, "0b1", "1e3"])
    def test_what_is_no_number(self, text: str) -> None:
        with pytest.raises(ValueError):
            decode_number(text)

    def test_numbers_end_at_two_to_the_64th(self) -> None:
        assert decode_number(str((1 << 64) - 1)) == decode_number("0x" + "0" * 40 + "f" * 16) == (1 << 64) - 1
        for text in (str(1 << 64), "0x1" + "0" * 16):
            with pytest.raises(ValueError, match="below 2"):
                decode_number(text)

    @pytest.mark.parametrize("text", ["yes", "", "true", "1", "Yes,No"])
    def test_what_is_no_boolean(self, text: str) -> None:
        with pytest.raises(ValueError, match="neither"):
            decode_boolean(text)


def test_every_key_of_the_rfc_has_a_row_and_every_field_a_default() -> None:
    """RFC 7143 13 has 24 keys and four obsolete keys; section 12 adds AuthMethod and the keys of its methods."""
    assert len({key.name for key in KEYS}) == len(KEYS)
    names = {field.name: field.default for field in fields(Parameters)}
    for key in KEYS:
        if key.field and key.default != "":
            assert names[key.field] == key.default, key.name


DECISIONS: list[tuple[str, str, str]] = [
    ("HeaderDigest", "None,CRC32C", "None"),
    ("HeaderDigest", "CRC32C,None", "CRC32C"),
    ("HeaderDigest", "CRC32C", "CRC32C"),
    ("DataDigest", "X-other,CRC32C", "CRC32C"),
    ("DataDigest", "X-other", "Reject"),
    ("DataDigest", "", "Reject"),
    ("MaxConnections", "32", "1"),
    ("MaxConnections", "0", "Reject"),
    ("MaxConnections", "65536", "Reject"),
    ("InitialR2T", "No", "No"),
    ("InitialR2T", "Yes", "Yes"),
    ("InitialR2T", "yes", "Reject"),
    ("ImmediateData", "Yes", "Yes"),
    ("ImmediateData", "No", "No"),
    ("MaxBurstLength", "16776192", "1048576"),
    ("MaxBurstLength", "0x200", "512"),
    ("MaxBurstLength", "511", "Reject"),
    ("MaxBurstLength", "16777215", "1048576"),
    ("MaxBurstLength", "16777216", "Reject"),
    ("FirstBurstLength", "65536", "65536"),
    ("FirstBurstLength", "16777215", "262144"),
    ("DefaultTime2Wait", "2", "2"),
    ("DefaultTime2Wait", "3600", "3600"),
    ("DefaultTime2Wait", "3601", "Reject"),
    ("DefaultTime2Retain", "60", "0"),
    ("MaxOutstandingR2T", "1", "1"),
    ("MaxOutstandingR2T", "16", "8"),
    ("DataPDUInOrder", "No", "Yes"),
    ("DataSequenceInOrder", "No", "Yes"),
    ("ErrorRecoveryLevel", "2", "0"),
    ("ErrorRecoveryLevel", "3", "Reject"),
    ("TaskReporting", "FastAbort,ResponseFence,RFC3720", "RFC3720"),
    ("TaskReporting", "FastAbort", "Reject"),
    ("iSCSIProtocolLevel", "2", "1"),
    ("iSCSIProtocolLevel", "1", "1"),
    ("IFMarker", "No", "No"),
    ("IFMarker", "Yes", "No"),
    ("OFMarker", "Yes", "No"),
    ("IFMarkInt", "2048~8192", "Reject"),
    ("OFMarkInt", "2048~8192", "Reject"),
    ("X-com.example.key", "1", "NotUnderstood"),
    ("Unheard", "Of", "NotUnderstood"),
    ("TargetPortalGroupTag", "1", "Reject"),
    ("TargetAddress", "192.0.2.1", "Reject"),
]


@pytest.mark.parametrize(("name", "offered", "answered"), DECISIONS)
def test_what_the_target_answers_in_the_operational_stage(name: str, offered: str, answered: str) -> None:
    assert answer((name, offered)) == [(name, answered)]


@pytest.mark.parametrize("key", [key for key in KEYS if key.irrelevant_in_discovery], ids=lambda key: key.name)
def test_keys_without_use_in_discovery_are_irrelevant(key: Key) -> None:
    assert answer((key.name, "1"), session_type="Discovery") == [(key.name, "Irrelevant")]


@pytest.mark.parametrize("name", ["HeaderDigest", "DefaultTime2Wait", "ErrorRecoveryLevel", "DefaultTime2Retain"])
def test_other_keys_are_negotiated_in_discovery(name: str) -> None:
    offer = "None" if name == "HeaderDigest" else "0"
    assert answer((name, offer), session_type="Discovery") == [(name, offer)]


def test_declarations_are_kept_and_not_answered() -> None:
    answerer = Answerer(WISHES, Parameters())
    assert answerer.answer([("InitiatorAlias", "me"), ("MaxRecvDataSegmentLength", "512")]) == []
    assert (answerer.parameters.initiator_alias, answerer.parameters.max_send_data_segment_length) == ("me", 512)


@pytest.mark.parametrize("value", ["511", "16777216", "x", "-1", ""])
def test_a_declared_length_out_of_range_ends_the_login(value: str) -> None:
    with pytest.raises(NegotiationError, match="MaxRecvDataSegmentLength"):
        answer(("MaxRecvDataSegmentLength", value))


def test_a_key_offered_twice_ends_the_login() -> None:
    with pytest.raises(NegotiationError, match="second time"):
        answer(("InitialR2T", "No"), ("InitialR2T", "No"))
    answerer = Answerer(WISHES, Parameters())
    answerer.answer([("X-a", "1")])
    with pytest.raises(NegotiationError, match="second time"):
        answerer.answer([("X-a", "1")])


@pytest.mark.parametrize("value", ["NotUnderstood", "Irrelevant", "Reject"])
@pytest.mark.parametrize(
    "name", ["TargetPortalGroupTag", "X-a", "HeaderDigest", "InitialR2T", "MaxBurstLength", "InitiatorAlias", "IFMarker"]
)
def test_an_answer_to_what_was_not_asked_ends_the_login(name: str, value: str) -> None:
    with pytest.raises(NegotiationError, match="is an answer"):
        answer((name, value))


def test_send_targets_does_not_belong_into_a_login() -> None:
    with pytest.raises(NegotiationError, match="in a login"):
        answer(("SendTargets", "All"))


@pytest.mark.parametrize("order", [1, -1])
def test_first_burst_never_exceeds_max_burst_whatever_the_order(order: int) -> None:
    offers = [("MaxBurstLength", "4096"), ("FirstBurstLength", "65536")][::order]
    assert dict(answer(*offers)) == {"MaxBurstLength": "4096", "FirstBurstLength": "4096"}
    assert [name for name, _ in answer(*offers)] == [name for name, _ in offers]


@pytest.mark.parametrize("name", ["HeaderDigest", "MaxBurstLength", "MaxRecvDataSegmentLength", "IFMarker", "SendTargets"])
def test_operational_keys_do_not_belong_into_the_security_stage(name: str) -> None:
    with pytest.raises(NegotiationError, match="security stage"):
        answer((name, "1"), phase=Phase.SECURITY)


@pytest.mark.parametrize("name", ["AuthMethod", "CHAP_A", "SRP_U"])
def test_security_keys_belong_into_the_security_stage_alone(name: str) -> None:
    with pytest.raises(NegotiationError, match="security stage"):
        answer((name, "None"))


def test_in_full_feature_phase_only_keys_for_it_are_taken() -> None:
    answerer = Answerer({}, Parameters())
    offers = [("MaxRecvDataSegmentLength", "4096"), ("InitialR2T", "Yes"), ("X-a", "1"), ("MaxBurstLength", "512")]
    assert answerer.answer(offers, Phase.FULL_FEATURE) == [
        ("InitialR2T", "Reject"),
        ("X-a", "NotUnderstood"),
        ("MaxBurstLength", "Reject"),
    ]
    assert answerer.parameters.max_send_data_segment_length == 4096
    assert answerer.parameters.max_burst_length == 262144


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        *(("InitiatorName", 223), ("TargetName", 223), ("InitiatorAlias", 255), ("X#NodeArchitecture", 255)),
        *(("CHAP_N", 255), ("CHAP_I", 255), ("CHAP_C", 8192), ("CHAP_R", 8192)),
    ],
)
def test_values_are_taken_at_their_limit_and_not_past_it(name: str, limit: int) -> None:
    check_length(name, "x" * limit)
    check_length(name, "ä" * (limit // 2))
    for value in ("x" * (limit + 1), "ä" * (limit // 2 + 1)):
        with pytest.raises(NegotiationError, match=str(limit)):
            check_length(name, value)


@pytest.mark.parametrize("name", ["HeaderDigest", "DataDigest", "TaskReporting", "AuthMethod", "CHAP_A"])
def test_in_a_list_each_value_has_the_limit(name: str) -> None:
    check_length(name, ",".join(["x" * 255] * 8))
    with pytest.raises(NegotiationError, match="255"):
        check_length(name, "None," + "x" * 256)


def test_a_long_list_is_answered_by_what_is_known_in_it() -> None:
    assert answer(("HeaderDigest", ",".join([*("Y-" + "x" * 250 for _ in range(9)), "CRC32C"]))) == [("HeaderDigest", "CRC32C")]


def test_an_unknown_key_may_have_a_value_of_any_length() -> None:
    assert answer(("X-a", "x" * 40_000)) == [("X-a", "NotUnderstood")]


@pytest.mark.parametrize("key", [key for key in KEYS if key.use is Use.LO], ids=lambda key: key.name)
def test_the_session_s_own_keys_stay_as_they_are_for_a_further_connection(key: Key) -> None:
    answerer = Answerer(WISHES, before := Parameters(max_burst_length=4096), is_leading=False)
    offer = {Kind.LIST: "RFC3720", Kind.AND: "No", Kind.OR: "No", Kind.DECLARED_TEXT: "Normal"}.get(key.kind, "1")
    answered = answerer.answer([(key.name, offer)])
    assert answered == ([] if key.kind is Kind.DECLARED_TEXT else [(key.name, "Reject")])
    assert before == Parameters(max_burst_length=4096)


SETTLED = {(Kind.AND, "No"), (Kind.OR, "Yes")}
"""Offers that need no answer (RFC 7143 6.2.2)."""


def any_offer(key: Key) -> st.SearchStrategy[str]:
    if key.kind is Kind.LIST:
        return st.permutations(key.choices).map(",".join)
    if key.kind in (Kind.AND, Kind.OR):
        return st.sampled_from(["Yes", "No"])
    return st.integers(key.lowest, key.highest).map(str)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_both_roles_come_to_the_same_result(data: Any) -> None:
    keys = data.draw(st.lists(st.sampled_from(NEGOTIATED), unique=True))
    offers = {key.name: data.draw(any_offer(key), label=key.name) for key in keys}
    answerer = Answerer(WISHES, Parameters())
    answers = answerer.answer(list(offers.items()))
    offerer = Offerer(offers, Parameters())
    offerer.accept(answers)
    assert {name for name in offers if (KEY_BY_NAME[name].kind, offers[name]) not in SETTLED} <= offerer.answered
    assert offerer.parameters == answerer.parameters


@given(st.sampled_from(NEGOTIATED), st.data())
@settings(max_examples=200, deadline=None)
def test_without_wishes_the_offer_is_the_result(key: Key, data: Any) -> None:
    offer = data.draw(any_offer(key))
    answered = dict(Answerer({}, Parameters(max_burst_length=key.highest)).answer([(key.name, offer)]))[key.name]
    assert answered == offer.split(",")[0]


WRONG_ANSWERS = [
    ("HeaderDigest", "CRC32C", "None"),
    ("MaxBurstLength", "4096", "8192"),
    ("MaxBurstLength", "4096", "511"),
    ("DefaultTime2Wait", "5", "4"),
    ("InitialR2T", "Yes", "No"),
    ("ImmediateData", "No", "Yes"),
    ("ImmediateData", "Yes", "maybe"),
    ("InitialR2T", "No", "Reject"),
]


@pytest.mark.parametrize(("name", "offered", "answered"), WRONG_ANSWERS)
def test_the_initiator_sees_answers_that_cannot_be(name: str, offered: str, answered: str) -> None:
    with pytest.raises(NegotiationError, match=name):
        Offerer({name: offered}, Parameters()).accept([(name, answered)])


def test_the_initiator_wants_no_answers_it_did_not_ask_for() -> None:
    with pytest.raises(NegotiationError, match="not offered"):
        Offerer({}, Parameters()).accept([("InitialR2T", "No")])
    with pytest.raises(NegotiationError, match="twice"):
        Offerer({"X-a": "1"}, Parameters()).accept([("X-a", "NotUnderstood")] * 2)
    with pytest.raises(NegotiationError, match="may not be sent by a target"):
        Offerer({}, Parameters()).accept([("InitiatorName", "me")])


def test_the_initiator_keeps_what_the_target_declares() -> None:
    offerer = Offerer({"X-a": "1", "MaxConnections": "4"}, Parameters())
    offerer.accept([("TargetPortalGroupTag", "7"), ("MaxRecvDataSegmentLength", "4096"), ("TargetAlias", "it")])
    parameters = offerer.parameters
    assert (parameters.target_portal_group_tag, parameters.target_alias) == ("7", "it")
    assert parameters.max_send_data_segment_length == 4096
    offerer.accept([("X-a", "NotUnderstood"), ("MaxConnections", "Irrelevant")])
    assert parameters.max_connections == 1
    with pytest.raises(NegotiationError, match="511"):
        Offerer({}, Parameters()).accept([("MaxRecvDataSegmentLength", "511")])
