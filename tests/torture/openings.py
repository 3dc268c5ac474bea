"""Checks and openings of the disks of many images. Each different disk is checked and opened once."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from odx_target.store.api import StoreError
from odx_target.store.checking import pool_check
from odx_target.store.checking.pool_check import Advance, PoolReport, Survey
from tests.store.pools import check_simulated_pool
from tests.torture.array import ArrayUnderTorture
from tests.torture.images import DiskImage, Key
from tests.torture.model import Moment
from tests.torture.run import Difference
from tests.torture.setup import Setup

KEPT_MOMENTS = 400
"""Number of disks whose content is kept, because disks of later moments may be equal to them."""

KEPT_SEGMENTS = 4_000
"""Number of segments of which the result of the check is kept."""


class Openings:
    """Checks and opens the disks of one workload. `count` is the number of disks that were opened."""

    def __init__(self, setup: Setup) -> None:
        self.count = 0
        self._setup = setup
        self._found: OrderedDict[Key, Moment] = OrderedDict()
        self._segments: _Segments = OrderedDict()

    def found(self, image: DiskImage, now_s: float) -> Moment:
        """Return everything that the pool on a disk contains. Raises Difference if the check or the opening fails."""
        found = self._found.pop(image.key, None)
        if found is None:
            self._check(image)
            found = self._open(image, now_s)
        self._found[image.key] = found
        _shorten(self._found, KEPT_MOMENTS)
        return found

    def _check(self, image: DiskImage) -> None:
        def survey(*arguments: Any, **options: Any) -> Survey:
            return _RememberingSurvey(image, self._segments, *arguments, **options)

        try:
            with patch.object(pool_check, "Survey", survey):
                report = check_simulated_pool(image.disk())
        except StoreError as error:
            raise Difference(f"the check fails: {error!r}") from error
        _shorten(self._segments, KEPT_SEGMENTS)
        if not report.is_sound:
            raise Difference(f"the check found {report.complaints}, {report.lost[:3]}, {report.damaged_blocks} blocks")

    def _open(self, image: DiskImage, now_s: float) -> Moment:
        self.count += 1
        array = ArrayUnderTorture(image.operations, self._setup.options(), self._setup.steps_of_a_turn)
        array.disk = image.disk()
        array.environment.now_s = now_s
        try:
            array.open()
            return array.found()
        except StoreError as error:
            raise Difference(f"the pool does not open: {error!r}") from error
        finally:
            array.abandon()


@dataclass
class _Checked:
    """The result of the check of a segment."""

    blocks: int
    damaged_blocks: int
    complaints: list[str]
    damaged: set[int]
    readable: int


_Segments = OrderedDict[Key, _Checked]


class _RememberingSurvey(Survey):
    """A survey that does not check a segment again if a segment with the same number and the same bytes was checked before.

    It always checks the segments whose check depends on more than their bytes: those of the log that is replayed.
    """

    def __init__(self, image: DiskImage, segments: _Segments, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._image = image
        self._checked = segments

    def check(self, number: int, report: PoolReport, advance: Advance) -> None:
        digest = self._image.digest_of(number)
        if digest is None or number in self._used or number in self._unsealed or number == self._last:
            super().check(number, report, advance)
            return
        key = (number, digest, self._sizes[number], self._pool_identity)
        checked = self._checked.pop(key, None)
        if checked is None:
            alone = PoolReport()
            super().check(number, alone, advance)
            checked = _Checked(
                alone.checked_blocks,
                alone.damaged_blocks,
                alone.complaints,
                self._damaged[number],
                self._readable[number],
            )
        self._checked[key] = checked
        report.checked_blocks += checked.blocks
        report.damaged_blocks += checked.damaged_blocks
        report.complaints += checked.complaints
        self._damaged[number], self._readable[number] = checked.damaged, checked.readable


def _shorten(kept: "OrderedDict[Key, Any]", most: int) -> None:
    """Forget the entries that were used least recently."""
    while len(kept) > most:
        kept.popitem(last=False)
