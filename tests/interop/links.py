"""Steps of tests of two paired arrays."""

import time
from pathlib import Path

from odx_target.target.control.client import request

LINK = ("--link-port", "127.0.0.1:0")
"""Options of a server that other arrays can reach."""


def wait_for_link(pool: Path) -> None:
    """Wait until the only path of an array is connected."""
    deadline_s = time.monotonic() + 60
    while [each["state"] for each in request(pool, "paths", {})["paths"]] != ["connected"]:
        assert time.monotonic() < deadline_s, request(pool, "paths", {})
        time.sleep(0.05)
