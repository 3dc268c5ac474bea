"""The command against Debian's tgt, which must have the verdicts that docs/conformance.md shows."""

import pytest

from tests.conformance.document import differences
from tests.interop.programs import need

pytestmark = pytest.mark.interop


def test_tgt() -> None:
    need("tgtd")
    assert differences("tgt") == []
