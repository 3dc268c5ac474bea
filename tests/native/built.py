"""The native module for tests, which are skipped if it was not built."""

import pytest

compiled = pytest.importorskip("odx_target.native.compiled", reason="the native module was not built")
