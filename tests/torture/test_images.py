"""Images of a simulated disk: they share bytes, never change, and lose the power as the disk itself does."""

from collections.abc import Iterator
from random import Random

import pytest

from odx_target.store.checking.pool_check import Advance, PoolReport
from tests.sim.simulated_disk import SECTOR_BYTES, SimulatedDisk, _put
from tests.torture import boundaries, openings
from tests.torture.boundaries import VARIANTS, begin, without_faults
from tests.torture.images import KEPT, LOST, TORN, DiskImage, copied
from tests.torture.model import Moment
from tests.torture.openings import Openings
from tests.torture.run import Difference
from tests.torture.setup import Setup


def disks(seed: int, count_steps: int) -> Iterator[SimulatedDisk]:
    """Yield the disk of a workload before each operation."""
    run, _, disk = begin(seed)
    found: list[SimulatedDisk] = []
    disk.before_operation = lambda: found.append(copied(disk))
    for step in without_faults(seed, count_steps):
        run.do(step)
        yield from found
        found.clear()
    disk.before_operation = lambda: None
    run.array.abandon()


def content_of(disk: SimulatedDisk) -> list[object]:
    folders = [{number: bytes(file.content) for number, file in each.files.items()} for each in (disk.folder, disk.capacity)]
    return [*folders, disk.catalogue_content, disk.head.document]


def lose(disk: SimulatedDisk, variant: str, random: Random) -> None:
    """Lose the power of a disk, in the way that the images must repeat."""
    for folder in (disk.folder, disk.capacity):
        for number, file in list(folder.files.items()):
            former, existed = file.former, file.exists_durably
            for offset, data in file.writes:
                start = offset
                while start < offset + len(data):
                    end = offset + len(data)
                    if variant == TORN:
                        end = min(end, start // SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES)
                    if variant != LOST and random.random() < 0.5:
                        _put(file.durable, start, data[start - offset : end - offset])
                    start = end
            if file.cut_blocks is not None and variant != LOST and random.random() < 0.5:
                del file.durable[file.cut_blocks * 4096 :]
            file.content = bytearray(file.durable)
            if not existed and (variant == LOST or random.random() < 0.5):
                del folder.files[number]
                if former is not None:
                    folder.files[former] = file


@pytest.mark.parametrize("seed", [1, 2])
def test_an_image_loses_the_power_as_the_disk_does(seed: int) -> None:
    image = None
    shared = 0
    for disk in disks(seed, 150):
        image, before = DiskImage.of(disk, image), image
        shared += before is not None and any(each in before.folder.values() for each in image.folder.values())
        assert content_of(image.disk()) == content_of(disk)
        for variant in VARIANTS:
            naive = copied(disk)
            if variant != KEPT:
                lose(naive, variant, Random(f"{disk.operations} {variant}"))
            after = image.after(variant, Random(f"{disk.operations} {variant}"))
            assert content_of(after.disk()) == content_of(naive)
            assert after.key == DiskImage.of(naive, None).key
    assert shared > 50


def test_a_disk_of_an_image_does_not_change_the_image() -> None:
    *_, disk = disks(2, 150)
    image = DiskImage.of(disk, None)
    before = content_of(image.disk())
    array = Openings(Setup(2, 60, None, 100, 20, has_capacity=True))
    array.found(image, 2_000_000.0)
    run, _, _ = begin(2)
    run.array.abandon()
    run.array.disk = image.disk()
    run.array.open()
    run.now = run.array.found()
    for step in without_faults(5, 60):
        if step[0] in ("write", "flush", "checkpoint", "clean"):
            run.do(step)
    run.array.abandon()
    assert content_of(run.array.disk) != before
    assert content_of(image.disk()) == before


def test_equal_disks_are_opened_once_and_other_disks_again() -> None:
    *_, disk = disks(1, 10)  # so few steps that the first segment is still in use
    image = DiskImage.of(disk, None)
    opened = Openings(Setup(1, 60, None, 100, 20))
    found = opened.found(image, 2_000_000.0)
    again = opened.found(DiskImage.of(copied(disk), None), 2_000_000.0)
    assert again is found
    assert opened.count == 1
    changed = copied(disk)
    number = min(changed.files)
    changed.files[number].content[5] ^= 1
    with pytest.raises(Difference, match="check"):
        opened.found(DiskImage.of(changed, image), 2_000_000.0)


def test_damage_is_found_although_the_results_of_unchanged_segments_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, disk = disks(1, 600)
    image = DiskImage.of(disk, None)
    opened = Openings(Setup(1, 60, None, 100, 20))
    checked: list[int] = []
    real = openings.Survey.check

    def check(self: openings.Survey, number: int, report: PoolReport, advance: Advance) -> None:
        checked.append(number)
        real(self, number, report, advance)

    monkeypatch.setattr(openings.Survey, "check", check)
    opened._check(image)
    first = set(checked)
    checked.clear()
    opened._check(image)
    remembered = first - set(checked)
    assert remembered
    number = min(remembered)
    changed = copied(disk)
    changed.files[number].content[4096 + 5] ^= 1
    with pytest.raises(Difference, match=f"segment {number}|[1-9][0-9]* blocks"):
        opened._check(DiskImage.of(changed, image))


def test_a_lost_flush_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment that the disk does not contain is noticed, even if an equal disk was opened before."""
    real = boundaries.WholeHistory.mark

    def mark(self: boundaries.WholeHistory, now: Moment) -> None:
        real(self, now)
        self.note_flushed(self.last)

    monkeypatch.setattr(boundaries.WholeHistory, "mark", mark)
    with pytest.raises(Difference, match="none of the states"):
        boundaries.crash_everywhere(1, 120)
