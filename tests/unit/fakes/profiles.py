"""How many examples hypothesis tries: few, the same ones each time; 10,000 new ones with ``HYPOTHESIS_PROFILE=deep``.

A test of a change must not fail for something else: looking for new examples is what ``make test-deep`` is for. With
``HYPOTHESIS_PROFILE=brief`` it is a fifth of the few: for another Python that runs the same tests once more.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings


def examples(quick: int) -> settings:
    profile = os.environ.get("HYPOTHESIS_PROFILE")
    deep = profile == "deep"
    unhurried = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=10_000 if deep else max(quick // 5, 1) if profile == "brief" else quick,
        derandomize=not deep,
        deadline=None,
        suppress_health_check=unhurried,
    )
