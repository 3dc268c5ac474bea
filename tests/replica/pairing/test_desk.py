"""Tests of the time and the attempts of paths that wait for their pairing."""

import pytest

from odx_target.replica.link.throttle import Rates
from odx_target.replica.pairing.desk import MAX_ATTEMPTS, MAX_UNPAIRED, PAIRING_TIME_S, NotWaiting, PairingDesk, WaitingPath


class Desk:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.ended: list[WaitingPath] = []
        self.desk = PairingDesk(lambda: self.now_s, self.ended.append)

    def add(self, name: str, key: bytes = b"k") -> WaitingPath:
        return self.desk.add(name, key, None, frozenset(), Rates())


def test_a_path_waits_for_ten_minutes() -> None:
    desk = Desk()
    path = desk.add("berlin")
    desk.now_s = PAIRING_TIME_S - 0.1
    assert desk.desk.keys() == [b"k"]
    desk.now_s = PAIRING_TIME_S
    with pytest.raises(NotWaiting):
        desk.desk.keys()
    assert desk.ended == [path]
    assert path.is_over
    assert "no pairing" in path.reason


def test_the_fourth_attempt_is_refused() -> None:
    desk = Desk()
    path = desk.add("berlin")
    for _ in range(MAX_ATTEMPTS):
        assert desk.desk.keys()
        desk.desk.failed("a wrong key")
    with pytest.raises(NotWaiting):
        desk.desk.keys()
    assert desk.ended == [path]
    assert path.reason == "3 attempts have failed: a wrong key"
    assert desk.desk.unpaired() == {"berlin": path.reason}


def test_failures_are_kept_until_the_path_is_added_again_or_removed() -> None:
    desk = Desk()
    for number in range(MAX_UNPAIRED + 1):
        desk.add(f"path{number}")
    desk.now_s = PAIRING_TIME_S
    reason = "no pairing in 600 s"
    assert desk.desk.unpaired() == {f"path{number}": reason for number in range(1, MAX_UNPAIRED + 1)}
    desk.add("path1")
    assert desk.desk.remove("path2")
    assert not desk.desk.remove("path2")
    assert list(desk.desk.unpaired()) == [f"path{number}" for number in range(3, MAX_UNPAIRED + 1)]


def test_a_paired_path_has_not_failed_nor_has_one_that_keeps_its_former_key() -> None:
    desk = Desk()
    desk.add("berlin").is_paired = True
    desk.desk.add("paris", b"k", None, frozenset(), Rates(), is_rekeyed=True)
    desk.now_s = PAIRING_TIME_S
    assert desk.desk.unpaired() == {}


def test_a_path_that_is_added_again_has_new_attempts() -> None:
    desk = Desk()
    former = desk.add("berlin", b"a")
    desk.desk.failed("wrong")
    desk.add("berlin", b"b")
    assert former.is_over
    assert desk.desk.keys() == [b"b"]
    assert [path.attempts for path in desk.desk.waiting()] == [0]


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(Desk().add("berlin", b"secret"))
