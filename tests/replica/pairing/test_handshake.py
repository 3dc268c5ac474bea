"""Tests of the pairing: only two sides with one key, and without anybody between them, succeed."""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.frame import Frame, FrameReader, encode
from odx_target.replica.link.kinds import Kind
from odx_target.replica.pairing.handshake import AcceptorHandshake, DiallerHandshake, Paired, PairingFailed, refusal
from odx_target.replica.pairing.messages import Identity
from odx_target.replica.pairing.path_key import (
    MAX_KEY_CHARACTERS,
    MIN_KEY_CHARACTERS,
    InvalidPathKey,
    check_path_key,
    derived,
    is_weak,
    new_path_key,
    stretched,
)
from tests.settings import searching

OURS = Identity(b"\x01" * 16, b"\x02" * 16, b"our certificate")
THEIRS = Identity(b"\x03" * 16, b"\x04" * 16, b"their certificate")
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def dialler(key: bytes = KEY, certificate: bytes = THEIRS.certificate, nonce: bytes = b"n" * 32) -> DiallerHandshake:
    return DiallerHandshake(key, OURS, certificate, nonce)


def acceptor(*keys: bytes, nonce: bytes = b"m" * 32) -> AcceptorHandshake:
    return AcceptorHandshake(lambda: keys or (KEY,), THEIRS, nonce)


def talk(ours: DiallerHandshake, theirs: AcceptorHandshake) -> tuple[Paired | None, Paired | None]:
    """Exchange all bytes, in small pieces. Returns the results of both sides."""
    to_theirs, to_ours = ours.output, b""
    results: list[Paired | None] = [None, None]
    while to_theirs or to_ours:
        sent, to_theirs = to_theirs, b""
        for at in range(0, len(sent), 7):
            answer, paired = theirs.receive(sent[at : at + 7])
            to_ours += answer
            results[1] = results[1] or paired
        sent, to_ours = to_ours, b""
        for at in range(0, len(sent), 5):
            answer, paired = ours.receive(sent[at : at + 5])
            to_theirs += answer
            results[0] = results[0] or paired
    return results[0], results[1]


def test_two_sides_with_one_key_get_each_other_and_one_secret() -> None:
    ours, theirs = talk(dialler(), acceptor(OTHER_KEY, KEY))
    assert ours is not None
    assert theirs is not None
    assert (ours.peer, theirs.peer) == (THEIRS, OURS)
    assert ours.secret == theirs.secret != KEY
    assert theirs.key == KEY


def test_the_secret_does_not_depend_on_who_dials() -> None:
    (ours, _), (again, _) = talk(dialler(), acceptor()), talk(dialler(nonce=b"x" * 32), acceptor())
    assert ours is not None
    assert again is not None
    other = talk(DiallerHandshake(KEY, THEIRS, OURS.certificate, b"n" * 32), AcceptorHandshake(lambda: [KEY], OURS, b"m" * 32))[
        0
    ]
    assert other is not None
    assert ours.secret == again.secret == other.secret


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: dialler(OTHER_KEY), lambda: acceptor()),
        (lambda: dialler(), lambda: acceptor(OTHER_KEY)),
        (lambda: dialler(certificate=b"that of a man in the middle"), lambda: acceptor()),
    ],
    ids=["wrong key", "wrong key at the acceptor", "man in the middle"],
)
def test_a_wrong_key_and_a_man_in_the_middle_fail(
    ours: Callable[[], DiallerHandshake], theirs: Callable[[], AcceptorHandshake]
) -> None:
    with pytest.raises(PairingFailed, match="does not know the path key") as caught:
        talk(ours(), theirs())
    assert caught.value.is_attempt


def test_an_acceptor_that_does_not_know_the_key_is_found() -> None:
    ours = dialler()
    theirs = acceptor()
    challenge, _ = theirs.receive(ours.output)
    ours.receive(challenge)
    with pytest.raises(PairingFailed) as caught:
        ours.receive(encode(Frame(Kind.PAIR_CONFIRM, body=bytes(32))))
    assert caught.value.is_attempt


def test_a_proof_that_is_sent_back_is_no_confirmation() -> None:
    ours = dialler()
    challenge, _ = acceptor().receive(ours.output)
    (proof,) = FrameReader().feed(ours.receive(challenge)[0])
    with pytest.raises(PairingFailed):
        ours.receive(encode(Frame(Kind.PAIR_CONFIRM, body=proof.body)))


def test_a_recorded_pairing_is_worth_nothing_with_another_nonce() -> None:
    ours, theirs = dialler(), acceptor()
    challenge, _ = theirs.receive(ours.output)
    recorded = ours.output + ours.receive(challenge)[0]
    with pytest.raises(PairingFailed):
        acceptor(nonce=b"z" * 32).receive(recorded)
    assert acceptor().receive(recorded)[1] is not None  # Only the same nonce would accept it.


def test_a_changed_byte_anywhere_fails() -> None:
    generator = random.Random(1)
    for _ in range(60):
        ours, theirs = dialler(), acceptor()
        frames = FrameReader().feed(ours.output)
        body = bytearray(frames[0].body)
        body[generator.randrange(len(body))] ^= 1 << generator.randrange(8)
        challenge, _ = theirs.receive(encode(Frame(Kind.PAIR_OPEN, body=bytes(body))))
        proof, _ = ours.receive(challenge)
        with pytest.raises(PairingFailed):
            theirs.receive(proof)


def test_a_refusal_before_the_proof_is_no_attempt() -> None:
    with pytest.raises(PairingFailed, match="no path waits") as caught:
        dialler().receive(refusal("no path waits for its pairing"))
    assert not caught.value.is_attempt
    ours = dialler()
    ours.receive(acceptor().receive(ours.output)[0])
    with pytest.raises(PairingFailed) as caught:
        ours.receive(refusal("wrong"))
    assert caught.value.is_attempt


@searching(40)
@given(st.binary(max_size=120) | st.sampled_from(Kind).map(lambda kind: encode(Frame(kind, kind.value & 0x30, body=bytes(32)))))
def test_any_bytes_are_refused(data: bytes) -> None:
    for side in (dialler(), acceptor()):
        with suppress(PeerFault, PairingFailed):
            assert side.receive(data)[1] is None


def test_new_keys() -> None:
    keys = {new_path_key(random.Random(seed).randbytes) for seed in range(50)}
    assert len(keys) == 50
    assert {len(key) for key in keys} == {26}
    for key in keys:
        check_path_key(key)
        assert not is_weak(key)


@pytest.mark.parametrize("key", ["x" * (MIN_KEY_CHARACTERS - 1), "x" * (MAX_KEY_CHARACTERS + 1), "a" * 12 + "\n" + "b" * 12])
def test_texts_that_are_no_keys(key: str) -> None:
    with pytest.raises(InvalidPathKey) as caught:
        stretched(key)
    assert key not in str(caught.value)


def test_stretched_keys_differ() -> None:
    assert is_weak("x" * MIN_KEY_CHARACTERS)
    assert len({stretched("x" * MIN_KEY_CHARACTERS), stretched("y" * MIN_KEY_CHARACTERS)}) == 2


def test_derived_keys_are_those_of_rfc_5869() -> None:
    """Test case 3 of the RFC, the first 32 of its 42 bytes."""
    assert derived(b"\x0b" * 22, "").hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
