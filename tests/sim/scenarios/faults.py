"""The faults of a scenario: what happens to lines, connections, machines, disks and clocks. Each kind is one row."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tests.sim.network import Direction, Line, SimulatedLink
from tests.sim.simulated_array import SimulatedArray

if TYPE_CHECKING:
    from tests.sim.scenarios.stage import Stage

Victim = TypeVar("Victim")

FAR_BYTES = (10, 300, 5_000, 300_000)
"""How many bytes are delivered, at most, before a planned cut."""


class Fault(NamedTuple):
    """A kind of fault. `cause` returns False if it cannot happen now."""

    name: str
    weight: int
    cause: "Callable[[Stage], bool]"


def _link(stage: "Stage") -> SimulatedLink | None:
    """Return one of the open connections."""
    links = [link for link in stage.network.links if not link.is_cut]
    return stage.random.choice(links) if links else None


def _direction(stage: "Stage") -> Direction | None:
    link = _link(stage)
    return None if link is None else stage.random.choice(link.ends).outgoing


def _array(stage: "Stage") -> SimulatedArray | None:
    return stage.random.choice(stage.running) if stage.running else None


def _on(choose: "Callable[[Stage], Victim | None]", cause: "Callable[[Stage, Victim], None]") -> "Callable[[Stage], bool]":
    """Return the function of a fault that happens to what `choose` returns. Without it, the fault cannot happen."""

    def happen(stage: "Stage") -> bool:
        victim = choose(stage)
        if victim is None:
            return False
        cause(stage, victim)
        return True

    return happen


def _cut(stage: "Stage", link: SimulatedLink) -> None:
    link.cut(notices=stage.random.choice([(True, True), (True, False), (False, True), (False, False)]))


def _cut_at_a_byte(stage: "Stage", direction: Direction) -> None:
    direction.cut_after_bytes = direction.delivered_bytes + stage.random.randrange(stage.random.choice(FAR_BYTES))


def _lose_direction(stage: "Stage", direction: Direction) -> None:
    direction.lose_after(stage.random.randrange(stage.random.choice(FAR_BYTES)))


def _stall(stage: "Stage", link: SimulatedLink) -> None:
    link.stall(stage.random.choice(link.ends).outgoing, stage.random.uniform(0.1, 8.0))


def _slow_line(stage: "Stage") -> bool:
    line = stage.network.line(*stage.random.sample([array.name for array in stage.arrays], 2))
    line.max_delay_s = stage.random.choice([0.1, 0.5])
    line.bytes_per_s = stage.random.choice([50_000.0, 1e6])
    line.max_piece_bytes = stage.random.choice([30, 3_000, 64 << 10])

    def end() -> None:
        usual = Line()  # Not the former values, because they may be those of another fault that has ended meanwhile.
        line.max_delay_s, line.bytes_per_s, line.max_piece_bytes = usual.max_delay_s, usual.bytes_per_s, usual.max_piece_bytes

    stage.later(stage.random.uniform(0.1, 3.0), end)
    return True


def _line_down(stage: "Stage") -> bool:
    """Nothing arrives any more, and nobody can connect for a while."""
    names = stage.random.sample([array.name for array in stage.arrays], 2)
    line = stage.network.line(*names)
    line.is_down = True
    for link in stage.network.between(*names):
        if not link.is_cut:
            for end in link.ends:
                end.outgoing.lose_after(0)
    stage.later(stage.random.uniform(0.1, 10.0), lambda: setattr(line, "is_down", False))
    return True


def _kill(stage: "Stage", array: SimulatedArray) -> None:
    array.kill()
    stage.down(array)


def _lose_power(stage: "Stage", array: SimulatedArray) -> None:
    array.lose_power()
    stage.down(array)


def _power_in_an_operation(stage: "Stage", array: SimulatedArray) -> None:
    array.disk.crash_after(stage.random.randrange(40))


def _clock_jumps(stage: "Stage", array: SimulatedArray) -> None:
    array.environment.time_offset_s += stage.random.choice([-1e6, -3600.0, -1.0, 1.0, 3600.0, 1e6])


def _disk_fails(stage: "Stage", array: SimulatedArray) -> None:
    disk, operation = array.disk, stage.random.choice(["write", "sync", "save", "commit", "create"])
    disk.failing.add(operation)
    stage.later(stage.random.uniform(0.0, 2.0), lambda: disk.failing.discard(operation))


def _disk_full(stage: "Stage", array: SimulatedArray) -> None:
    disk = array.disk
    disk.room_blocks = sum(file.size_blocks for file in disk.files.values())
    stage.later(stage.random.uniform(0.0, 3.0), lambda: setattr(disk, "room_blocks", None))


LINE_FAULTS = (
    Fault("cut", 2, _on(_link, _cut)),
    Fault("cut at a byte", 4, _on(_direction, _cut_at_a_byte)),
    Fault("direction lost", 2, _on(_direction, _lose_direction)),
    Fault("stall", 2, _on(_link, _stall)),
    Fault("slow line", 1, _slow_line),
    Fault("line down", 1, _line_down),
    Fault("clock jump", 1, _on(_array, _clock_jumps)),
)
"""Faults that end no array."""

DISK_FAULTS = (Fault("disk error", 2, _on(_array, _disk_fails)), Fault("disk full", 1, _on(_array, _disk_full)))
"""Faults after which changes of the pool may fail for a while."""

FAULTS = (
    *LINE_FAULTS,
    Fault("process death", 2, _on(_array, _kill)),
    Fault("power loss", 2, _on(_array, _lose_power)),
    Fault("power loss in an operation", 2, _on(_array, _power_in_an_operation)),
)
"""Faults that lose no data that was flushed."""
