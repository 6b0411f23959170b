"""Run tests of real services; those that fail beside others are run once more, alone: ``steady.py [option …] path …``.

Their services share two processors with whatever else a machine does, and what a busy machine does not do in time is no
fault of what is tested. A test counts as passed when it passes alone, and is named as unsteady. Where many fail, none
is tried again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

MOST_AGAIN = 5  # tests
_OPTIONS = "--ansible-unit-inject-only --strict-markers -m 'not deep'"  # as in pyproject.toml, but with a cache
_FAILED = 1  # pytest's exit code
_FAILURES = "v/cache/lastfailed"  # where pytest's cacheprovider writes them, under its folder


def run(arguments: list[str]) -> int:
    """:returns: pytest's exit code, of the second run where there was one."""
    with tempfile.TemporaryDirectory(prefix="pytest-cache-") as cache:
        pytest = [sys.executable, "-m", "pytest", "-q", "-o", f"addopts={_OPTIONS}", "-o", f"cache_dir={cache}"]
        code = subprocess.run([*pytest, *arguments], check=False).returncode
        failures = Path(cache, _FAILURES)
        failed = sorted(json.loads(failures.read_text())) if code == _FAILED and failures.exists() else []
        if not 0 < len(failed) <= MOST_AGAIN:
            return code
        print(f"\n== once more, alone: {len(failed)} of the tests", flush=True)
        code = subprocess.run([*pytest, *failed], check=False).returncode
        if code == 0:
            print("\n".join(f"unsteady: {test}" for test in failed), flush=True)
        return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
