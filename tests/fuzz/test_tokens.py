"""Changed tokens: the array and the naive judge agree about each, and every outcome occurs."""

import pytest

from tests.copymgr.array import code_of
from tests.fuzz.tokens.comparison import TokenShop, compare_tokens

TOKENS = 8_000
OUTCOMES = {"good", *(f"5/23/{code:02X}" for code in (0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A))}


def test_each_changed_token_has_the_right_outcome() -> None:
    found = compare_tokens(TOKENS, seed=1)
    assert not found.differences
    assert sum(found.counts.values()) == TOKENS
    assert set(found.counts) == OUTCOMES


def test_the_judges_agree_about_tokens_that_were_not_changed() -> None:
    shop = TokenShop()
    for token in (*shop.tokens, *shop.foreign):
        assert code_of(shop.use(token)) == shop.judge.judge(token)


def test_a_wrong_judgement_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.tokens.naive_judge.TOKEN_CORRUPT", "5/23/04")
    assert compare_tokens(100, seed=1).differences
