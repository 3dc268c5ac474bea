"""The damage of a disk: bits that flip, and blocks and nodes that are lost or change places."""

from dataclasses import dataclass
from random import Random

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.catalogue.memory import CatalogueContent
from tests.sim.simulated_disk import SimulatedDisk
from tests.torture.run import Run

PARTS = {"segment": 40, "swap": 15, "zeros": 10, "node": 15, "nodes": 5, "catalogue": 5, "value": 5, "part": 8, "head": 5}
"""The damaged parts and their shares: a bit of a segment, two blocks, a block, a bit of a node of the catalogue, two nodes, a
bit of the head row of the catalogue, a bit of a remembered value, a bit of a frozen map or a snapshot, and a bit of the head of
the pool.
"""


@dataclass
class Prepared:
    """A disk with the expected content, and the place of the first batch that no later batch proves to be durable."""

    run: Run
    disk: SimulatedDisk
    unproven_segment: int
    unproven_block: int
    end_osn: int


def damage(disk: SimulatedDisk, random: Random, prepared: Prepared) -> tuple[str, str, bool]:
    """Damage a disk. Returns the kind and the place, and True if the place is in a batch of the last flush."""
    part = _chosen_part(disk.catalogue_content, random)
    content = disk.catalogue_content
    if part in ("segment", "swap", "zeros"):
        return part, *_damage_segment(disk, random, prepared, part)
    if part == "node":
        number = random.choice(sorted(content.nodes))
        content.nodes[number] = flipped(content.nodes[number], random)
    elif part == "nodes":
        number, other = random.choice(sorted(content.nodes)), random.choice(sorted(content.nodes))
        content.nodes[number], content.nodes[other] = content.nodes[other], content.nodes[number]
    elif part == "catalogue":
        assert content.head is not None
        content.head = flipped(content.head, random)
    elif part == "value":
        key = random.choice(sorted(content.values))
        content.values[key] = flipped(content.values[key], random)
    elif part == "part":
        key = random.choice(sorted(content.parts))
        content.parts[key] = flipped(content.parts[key], random)
    else:
        assert disk.head.document is not None
        disk.head.document = flipped(disk.head.document, random)
    return part, "", False


def _chosen_part(content: CatalogueContent, random: Random) -> str:
    """Choose a part that the disk has. A catalogue may have no checkpoint, nodes, values, frozen maps or snapshots."""
    catalogue = {
        "node": content.nodes,
        "nodes": content.nodes,
        "catalogue": content.head,
        "value": content.values,
        "part": content.parts,
    }
    shares = {part: share for part, share in PARTS.items() if catalogue.get(part, True)}
    return random.choices(list(shares), list(shares.values()))[0]


def _damage_segment(disk: SimulatedDisk, random: Random, prepared: Prepared, part: str) -> tuple[str, bool]:
    numbers = sorted(number for number, file in disk.files.items() if file.size_blocks)
    places = [(number, random.randrange(disk.files[number].size_blocks)) for number in random.choices(numbers, k=2)]
    (first, block), (second, other) = places
    content, there = disk.files[first].content, disk.files[second].content
    one = slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)
    two = slice(other * BLOCK_BYTES, (other + 1) * BLOCK_BYTES)
    damaged = places[:1]
    if part == "swap":
        content[one], there[two] = there[two], content[one]
        damaged = places
    elif part == "zeros":
        content[one] = bytes(BLOCK_BYTES)
    else:
        content[one] = flipped(bytes(content[one]), random)
    for number in (first, second):
        disk.files[number].durable = bytearray(disk.files[number].content)
    unproven = (prepared.unproven_segment, prepared.unproven_block)
    return f"at {damaged}", any(place >= unproven for place in damaged) and prepared.unproven_segment > 0


def flipped(data: bytes, random: Random) -> bytes:
    bit = random.randrange(len(data) * 8)
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
