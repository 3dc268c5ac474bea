"""Settings of tests that search: `ODX_TEST_STEPS=20 pytest` tries twenty times as many examples."""

import math
import os

from hypothesis import HealthCheck, settings

_TIMES = float(os.environ.get("ODX_TEST_STEPS", "1"))


def searching(max_examples: int, steps: int = 50) -> settings:
    """Make the Hypothesis settings for a property test or a state machine."""
    return settings(
        max_examples=math.ceil(max_examples * _TIMES),
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
