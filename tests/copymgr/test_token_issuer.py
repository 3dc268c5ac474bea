import pytest

from odx_target.copymgr.tokens.issuer import TokenIssuer
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.store.api import PoolFull
from tests.copymgr.array import CopyArray

NAME = "iqn.2026-11.example:array"


def no_room(key: str, value: bytes) -> None:
    raise PoolFull(f"no room for {len(value)} bytes of {key}")


def test_a_pool_without_room_for_another_record_opens_and_makes_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    array = CopyArray()
    token = TokenIssuer(array.pool, array.environment).make(
        RodType.POINT_IN_TIME_DEFAULT, array.logical_units[0], 512, "iqn.target"
    )[1]
    monkeypatch.setattr(array.pool, "remember", no_room)
    issuer = TokenIssuer(array.pool, array.environment)
    issuer.open()
    assert issuer.is_genuine(token)
    with pytest.raises(PoolFull):
        issuer.make(RodType.POINT_IN_TIME_DEFAULT, array.logical_units[0], 512, NAME)


def test_no_identifier_is_used_in_two_lives() -> None:
    array = CopyArray()
    logical_unit = array.logical_units[0]
    lives = [TokenIssuer(array.pool, array.environment) for _ in range(3)]
    identifiers = [issuer.make(RodType.POINT_IN_TIME_DEFAULT, logical_unit, 512, NAME)[0] for issuer in lives for _ in range(3)]
    assert len(set(identifiers)) == len(identifiers)
