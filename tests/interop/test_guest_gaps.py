"""Tests of the gaps that a scenario with faults reports."""

from tests.interop.guest.gaps import Fault, gap_lines, longest_gaps


def test_each_fault_has_the_longest_gap_until_the_next_one() -> None:
    times_s = [0.0, 1.0, 2.0, 9.0, 10.0, 11.0, 14.0, 15.0]
    faults = [Fault("kill", 2.5), Fault("cut", 10.5), Fault("kill", 14.5)]
    gaps = longest_gaps(faults, times_s)
    assert gaps == {"kill": [7.0, 1.0], "cut": [3.0]}
    assert gap_lines(gaps) == [
        "fault            times   median  longest  each gap in seconds",
        "kill                 2      4.0      7.0  7.0 1.0",
        "cut                  1      3.0      3.0  3.0",
    ]


def test_a_gap_counts_only_for_the_last_fault_before_its_end() -> None:
    """Between two faults, the scenario waits until hosts go on."""
    faults = [Fault("kill", 1.5), Fault("cut", 4.5)]
    assert longest_gaps(faults, [1.0, 3.0, 4.0, 12.0]) == {"kill": [2.0], "cut": [8.0]}


def test_a_gap_that_has_begun_before_the_fault_counts() -> None:
    assert longest_gaps([Fault("freeze", 3.0)], [1.0, 8.0]) == {"freeze": [7.0]}
    assert longest_gaps([Fault("freeze", 3.0)], [1.0]) == {"freeze": [0.0]}
