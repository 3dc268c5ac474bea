"""The optional features of a target."""

from dataclasses import dataclass

from odx_target.conformance.check import Need


@dataclass(frozen=True, slots=True)
class Features:
    """`missing` has the reason for each need of checks that the target does not meet."""

    missing: dict[Need, str]
