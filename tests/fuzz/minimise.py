"""Makes a corpus small: fewer scripts, and shorter scripts, that together reach the same lines and outcomes."""

from collections.abc import Sequence

from tests.fuzz.corpus import encoded
from tests.fuzz.line_coverage import LineCoverage
from tests.fuzz.shrink import shrunk
from tests.fuzz.surface import Script, Surface

ATTEMPTS_OF_A_SCRIPT = 12


def minimised(
    surface: Surface, scripts: Sequence[Script], former: Sequence[Script] = (), attempts: int = ATTEMPTS_OF_A_SCRIPT
) -> list[Script]:
    """Return scripts that reach all that `scripts` and `former` reach.

    Scripts of `former` were shortened before, so they are taken first and as they are. Then short scripts come first, and each
    is shortened.
    """
    reached: set[str] = set()
    kept: list[Script] = []
    for script in former:
        new = reach_of(surface, script) - reached
        if new:
            kept.append(script)
            reached |= new
    for script in sorted(scripts, key=lambda each: len(encoded(each))):
        new = reach_of(surface, script) - reached
        if new:
            kept.append(shrunk(script, lambda each, new=new: new <= reach_of(surface, each), attempts))  # type: ignore[misc]
            reached |= new
    return kept


def reach_of(surface: Surface, script: Script) -> set[str]:
    """Return the lines and outcomes that a script reaches. A script that breaks a rule reaches nothing."""
    coverage = LineCoverage(surface.packages)
    try:
        with coverage:
            outcomes = surface.run(script)
    except Exception:
        return set()
    return outcomes | coverage.take()
