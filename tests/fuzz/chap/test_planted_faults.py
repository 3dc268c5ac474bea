"""The naive judge of CHAP finds faults that are planted into the array, and the forms of values mean what they say."""

from contextlib import suppress
from typing import Any

import pytest

from odx_target.iscsi.login import chap
from odx_target.iscsi.login.chap import Challenge, ChapAuthenticator, Step
from odx_target.iscsi.pdu.binary_value import decode_binary, encode_binary
from tests.fuzz.chap.binary_forms import RIGHT_FORMS, WRONG_FORMS, naive_bytes
from tests.fuzz.chap.chap_attack import run
from tests.fuzz.chap.naive_judge import OWN_NAME, SECRETS
from tests.fuzz.surface import Finding, Script

WRONG: list[Any] = ["CHAP_R", {"of": "response", "user": "host", "flip": 3}]
RIGHT: list[Any] = ["CHAP_R", {"of": "response", "user": "host"}]


def login_with(*keys: list[Any]) -> Script:
    return [
        ["login", 0, [["AuthMethod", "CHAP"]], {}],
        ["login", 0, [["CHAP_A", "5"]], {}],
        ["login", 0, [["CHAP_N", "host"], *keys], {"transit": True, "next_stage": 3}],
    ]


def test_a_host_with_the_secret_gets_in_and_others_do_not() -> None:
    assert "in as host by md5" in run(login_with(RIGHT))
    assert "in as host by md5, both" in run(login_with(RIGHT, ["CHAP_I", "1"], ["CHAP_C", "0x0102"]))
    assert not any(outcome.startswith("in ") for outcome in run(login_with(WRONG)))


@pytest.mark.parametrize("form", range(len(RIGHT_FORMS)))
def test_the_array_proves_its_identity_to_a_host_with_the_secret(form: int) -> None:
    assert "logged in rightly" in run([["right", 0, form % 2, form % 4, form, "00" * 16]])


def test_a_response_that_is_not_checked_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChapAuthenticator, "_check_response", lambda *_: None)
    with pytest.raises(Finding, match="has not proved its identity"):
        run(login_with(WRONG))


def test_a_bound_user_that_any_initiator_may_use_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chap, "prepare_name", lambda _: "")
    script = login_with(["CHAP_R", {"of": "response", "user": "elsewhere"}])
    script[2][2][0][1] = "elsewhere"
    with pytest.raises(Finding, match="has not proved its identity"):
        run(script)


def test_an_answer_to_its_own_challenge_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(self: ChapAuthenticator, asked: Challenge) -> list[tuple[str, str]]:
        return [("CHAP_N", OWN_NAME), ("CHAP_R", encode_binary(asked.response("md5", SECRETS[OWN_NAME])))]

    reflected: Script = login_with(RIGHT, ["CHAP_I", {"of": "identifier"}], ["CHAP_C", {"of": "challenge"}])
    run(reflected)
    monkeypatch.setattr(ChapAuthenticator, "_prove", prove)
    with pytest.raises(Finding, match="answers its own challenge"):
        run(reflected)


def test_a_wrong_proof_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChapAuthenticator, "_prove", lambda *_: [("CHAP_N", OWN_NAME), ("CHAP_R", "0x00")])
    with pytest.raises(Finding, match="proves its identity wrongly"):
        run(login_with(RIGHT, ["CHAP_I", "1"], ["CHAP_C", "0x0102"]))


def test_a_right_login_that_is_refused_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    done = ChapAuthenticator._answer_response

    def forget(self: ChapAuthenticator, keys: dict[str, str]) -> list[tuple[str, str]]:
        answers = done(self, keys)
        self._step = Step.RESPONSE
        return answers

    monkeypatch.setattr(ChapAuthenticator, "_answer_response", forget)
    with pytest.raises(Finding, match="cannot log in"):
        run([])


@pytest.mark.parametrize("data", [b"\x01\x02", b"\x00\x0f" * 8, bytes(range(20)), b"\xff" * 32])
def test_right_forms_are_the_bytes_and_wrong_forms_are_not(data: bytes) -> None:
    for form, write in RIGHT_FORMS.items():
        assert naive_bytes(write(data)) == decode_binary(write(data), 1024) == data, form
    for form, write in WRONG_FORMS.items():
        with suppress(ValueError):
            assert decode_binary(write(data), 1024) != data, form
