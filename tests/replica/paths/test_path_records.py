"""Tests of the table of paths: its limits, and its records through a restart."""

import json
from typing import Any

import pytest

from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.path_record import InvalidPathRecord, decode_path, encode_path
from odx_target.replica.paths.path_table import PathRefused
from odx_target.replica.paths.settings import MAX_PATHS, Address, PathSettings
from tests.replica.paths.arrays import Arrays


def test_limits_and_names_of_paths() -> None:
    arrays = Arrays(7)
    paths, settings = arrays.one.paths, arrays.ours.settings
    for name, pool in (("other", bytes(16)), ("new", settings.peer_pool), ("new", arrays.one.pool.identity)):
        with pytest.raises(PathRefused):
            paths.add(PathSettings(name, None, pool, b"", b"", bytes(32)))
    with pytest.raises(PathRefused, match="no path absent"):
        paths.remove("absent")
    for number in range(MAX_PATHS - 1):
        identity = bytes([number]) * 16
        paths.add(PathSettings(f"p{number}", None, identity, identity, identity, bytes(32)))
    with pytest.raises(PathRefused, match="the limit"):
        paths.add(PathSettings("one more", None, bytes([99]) * 16, b"", b"", bytes(32)))


@pytest.mark.parametrize(("change", "reason"), [("peer_certificate", "certificate"), ("peer_maker", "maker")])
def test_a_peer_cannot_take_the_certificate_or_the_tokens_of_another_peer(change: str, reason: str) -> None:
    arrays = Arrays(7)
    new = PathSettings("new", None, bytes(16), b"n" * 16, b"new", bytes(32))
    taken = {**_values(new), change: getattr(arrays.ours.settings, change)}
    with pytest.raises(PathRefused, match=f"another path has the same {reason}"):
        arrays.one.paths.add(PathSettings(**taken))
    arrays.one.paths.add(new)


def test_paths_and_their_rates_survive_a_restart_and_damaged_records_are_reported() -> None:
    arrays = Arrays(4).connect()
    rates = Rates(2_000_000, 1_000_000, (60, 120))
    arrays.one.paths.change(PathSettings(**{**_values(arrays.ours.settings), "rates": rates}))
    arrays.one.pool.remember("replica/path/bad", b"{}")
    arrays.one.pool.commit()
    settings = arrays.ours.settings
    arrays.one.kill()
    arrays.one.start()
    assert arrays.ours.settings == settings
    assert arrays.ours.throttle.rates == rates
    assert arrays.one.paths.unreadable == ["bad"]
    assert str(settings.secret) not in repr(settings)
    arrays.connect()


@pytest.mark.parametrize("address", [["h"], ["h", "1"], [5, 1], ["h", 0], ["h", 65_536], ["h", True], "h", 7])
def test_a_record_with_an_address_that_nobody_can_dial_is_refused(address: object) -> None:
    settings = PathSettings("berlin", Address("h", 1), bytes(16), bytes(16), b"c", bytes(32))
    record = json.loads(encode_path(settings, b"a" * 16))
    with pytest.raises(InvalidPathRecord):
        decode_path("berlin", json.dumps({**record, "address": address}).encode(), b"a" * 16)


def test_a_copy_of_the_pool_with_another_identity_has_no_paths() -> None:
    settings = PathSettings("berlin", None, bytes(16), bytes(16), b"c", bytes(32))
    record = encode_path(settings, b"a" * 16)
    assert decode_path("berlin", record, b"a" * 16) == settings
    assert decode_path("berlin", record, b"b" * 16) is None


def _values(settings: PathSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in PathSettings.__dataclass_fields__}
