"""Tests of paths whose key is changed."""

from dataclasses import replace

import pytest

from odx_target.replica.paths.path import OTHER_KEY, PathState
from odx_target.replica.paths.path_table import PathRefused
from tests.replica.paths.arrays import Arrays


def test_a_new_key_that_only_one_array_has_is_shown() -> None:
    """The other array has missed the last frame of the pairing. Then it repeats the pairing, but not after a restart."""
    arrays = Arrays(5).connect()
    assert arrays.ours.status.reason == arrays.theirs.status.reason == ""
    former = arrays.ours.settings
    arrays.one.paths.change(replace(former, secret=b"n" * 32))
    arrays.world.advance(10.0)
    arrays.connect()
    assert arrays.ours.status.reason == arrays.theirs.status.reason == OTHER_KEY
    assert arrays.ours.status.state is PathState.CONNECTED
    assert arrays.echoed(b"data") == [b"data"]
    arrays.other.paths.change(replace(arrays.theirs.settings, secret=b"n" * 32))
    arrays.world.advance(10.0)
    arrays.connect()
    assert arrays.ours.status.reason == arrays.theirs.status.reason == ""


def test_a_path_with_a_new_key_connects_again_and_keeps_the_rest() -> None:
    arrays = Arrays(6).connect()
    former, link = arrays.ours.settings, arrays.ours.link
    arrays.one.paths.change(replace(former, secret=b"s" * 32))
    arrays.other.paths.change(replace(arrays.theirs.settings, secret=b"s" * 32))
    arrays.connect()
    assert arrays.ours.link is not link
    assert arrays.ours.settings == replace(former, secret=b"s" * 32)
    with pytest.raises(PathRefused, match="another array"):
        arrays.one.paths.change(replace(former, peer_pool=bytes(16)))
    with pytest.raises(PathRefused, match="no path nobody"):
        arrays.one.paths.change(replace(former, name="nobody"))


def test_a_connection_that_was_dialled_with_a_former_key_is_not_used() -> None:
    arrays = Arrays(8, (True, False))
    line = arrays.network.line("one", "other")
    line.min_delay_s = line.max_delay_s = 0.5
    arrays.world.advance(0.6)  # The first connection is being made.
    arrays.one.paths.change(replace(arrays.ours.settings, secret=b"s" * 32))
    arrays.world.run_until(lambda: len(arrays.network.links) == 1, 10.0)
    assert arrays.ours.link is None
    arrays.world.advance(0.001)
    assert "new key" in arrays.ours.status.reason
    arrays.connect()
    assert len(arrays.network.links) == 2


def test_a_new_key_that_only_the_peer_has_is_taken_over() -> None:
    """The other array has missed the last frame of the pairing, and both have restarted since."""
    arrays = Arrays(9).connect()
    theirs, ours = arrays.theirs.settings, arrays.ours.settings
    arrays.other.paths.change(replace(theirs, next_secret=b"n" * 32))
    arrays.one.paths.change(replace(ours, secret=b"n" * 32))
    for array in (arrays.one, arrays.other):
        array.pool.commit()
        array.kill()
        array.start()
    arrays.world.advance(10.0)
    arrays.connect()
    assert arrays.theirs.settings == replace(theirs, secret=b"n" * 32)
    assert arrays.ours.status.reason == arrays.theirs.status.reason == ""
    assert arrays.echoed(b"data") == [b"data"]


def test_a_pairing_that_was_only_begun_changes_nothing() -> None:
    arrays = Arrays(10).connect()
    for array, path in ((arrays.one, arrays.ours), (arrays.other, arrays.theirs)):
        array.paths.change(replace(path.settings, next_secret=b"n" * 32))
    former = arrays.ours.settings.secret, arrays.theirs.settings.secret
    arrays.one.pool.commit()
    arrays.one.kill()
    arrays.world.advance(10.0)
    arrays.one.start()
    arrays.world.advance(10.0)
    arrays.connect()
    assert (arrays.ours.settings.secret, arrays.theirs.settings.secret) == former
    assert arrays.ours.status.reason == arrays.theirs.status.reason == ""
