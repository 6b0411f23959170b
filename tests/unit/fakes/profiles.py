"""How many examples hypothesis tries: few each time, 10,000 with ``HYPOTHESIS_PROFILE=deep``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings


def examples(quick: int) -> settings:
    deep = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
    unhurried = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=10_000 if deep else quick, deadline=None, suppress_health_check=unhurried)
