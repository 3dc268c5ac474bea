"""`python -m tests.replica.membership`: plays pairs of arrays with faults for some minutes, and prints what was seen.

`--mutants` plays each mutant instead until a seed notices it, for at most the given time.
"""

import argparse
import time
from collections import Counter

from odx_target.replica.membership.member import Member
from odx_target.replica.membership.witness import Witness
from tests.replica.membership.model import play
from tests.replica.membership.mutants import MUTANTS
from tests.replica.membership.streams import Violation


def main() -> None:
    """Play."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="time to play, for each mutant with --mutants")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--mutants", action="store_true")
    given = parser.parse_args()
    if not given.mutants:
        print(played(given.first, given.minutes, Member, Witness))
        return
    for mutant in MUTANTS:
        members = mutant if issubclass(mutant, Member) else Member
        witnesses = mutant if issubclass(mutant, Witness) else Witness
        print(f"{mutant.__name__}: {played(given.first, given.minutes, members, witnesses, 1)}", flush=True)


def played(first: int, minutes: float, members: type[Member], witnesses: type[Witness], max_violations: int = 1000) -> str:
    """Play seeds for a time, or until enough violations are seen. Return the counts in words."""
    counts: Counter[str] = Counter()
    end_s, seed, violations = time.monotonic() + 60 * minutes, first, 0
    while time.monotonic() < end_s and violations < max_violations:
        try:
            counts.update(play(seed, members, witnesses).counts)
        except Violation as violation:
            violations += 1
            print(f"seed {seed}: {violation}", flush=True)
        seed += 1
    words = [f"{seed - first} seeds", *(f"{count} {name}" for name, count in counts.items()), f"{violations} violations"]
    return ", ".join(words)


if __name__ == "__main__":
    main()
