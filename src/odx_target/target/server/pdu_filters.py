"""Filters of the PDUs of a connection. A connection without injected faults has no filters, and pays nothing for them."""

from collections.abc import Callable
from typing import TypeAlias

from odx_target.environment import Buffer

TakeOutput: TypeAlias = Callable[[], list[Buffer]]
"""Function that returns the buffers to send. They contain whole PDUs."""

Receive: TypeAlias = Callable[[memoryview, float], int]
"""Function that processes whole PDUs at the start of a view at a time, and returns the number of their bytes."""

OutputFilter: TypeAlias = Callable[[TakeOutput], list[Buffer]]
"""Function that takes the output of the protocol, and returns the buffers that are sent instead."""

InputFilter: TypeAlias = Callable[[Receive, memoryview, float], int]
"""Function that processes received bytes instead of the protocol, and may pass PDUs on to it."""
