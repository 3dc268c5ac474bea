"""The checks of `odx-target conformance` against LIO, the target in the kernel of a guest that the host can reach."""

import pytest

from tests.conformance.document import differences

pytestmark = pytest.mark.interop


def test_lio_has_the_verdicts_of_the_page(usable_way: str) -> None:
    if usable_way != "uml":
        pytest.skip("the host cannot reach the address of a guest that QEMU has booted")
    assert differences("lio") == []
