"""The short form of the damage of disks, and of the parts that choose it."""

from random import Random

import pytest

from odx_target.store.catalogue.memory import CatalogueContent
from tests.torture.damage import damage_everywhere, prepare
from tests.torture.damaging import PARTS, Prepared, damage
from tests.torture.images import copied


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_named_and_nothing_else_suffers(seed: int) -> None:
    counts = damage_everywhere(seed, count_steps=120, count_damages=25)
    assert counts.damages == 25
    assert counts.refused > 0
    assert counts.repaired > 0


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(3, 120, is_closed=True)


@pytest.mark.parametrize("absent", ["nothing", "nodes", "values", "parts", "checkpoint"])
def test_the_damaged_part_is_the_reported_one(prepared: Prepared, absent: str) -> None:
    random, kinds = Random(f"damage without {absent}"), set()
    for _ in range(200):
        disk = copied(prepared.disk)
        if absent == "checkpoint":
            disk.catalogue_content = CatalogueContent()
        elif absent != "nothing":
            getattr(disk.catalogue_content, absent).clear()
        before, head = disk.catalogue_content.copy(), disk.head.document
        kind, _, _ = damage(disk, random, prepared)
        after = disk.catalogue_content
        changed = {
            "head": disk.head.document != head,
            "catalogue": after.head != before.head,
            "nodes": after.nodes != before.nodes,
            "value": after.values != before.values,
            "part": after.parts != before.parts,
        }
        damaged = {name for name, is_changed in changed.items() if is_changed}
        assert damaged <= {"nodes" if kind == "node" else kind}, "two segments, blocks or nodes may be the same one"
        assert damaged or kind in ("segment", "swap", "zeros", "nodes")
        kinds.add(kind)
    lacking = {"nodes": {"node", "nodes"}, "values": {"value"}, "parts": {"part"}, "nothing": set()}
    assert kinds == PARTS.keys() - lacking.get(absent, {"node", "nodes", "value", "part", "catalogue"})
