"""Run every linter, also after one has failed; print what those that failed say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "build" / "tree"
TESTS = " ".join(
    f"../../tests/{name}"
    for name in ("bed", "hosts", "multi", "tools", "bench.py", "bench_gates.py", "demo.py", "driver.py")
)
TYPED = f"ansible_collections/openstack_ha/recovery/plugins {TESTS}"
# name -> directory, command
LINTERS = {
    "ruff check": (ROOT, "ruff check ."),
    "ruff format": (ROOT, "ruff format --check ."),
    "mypy": (TREE, f"mypy --config-file ../../pyproject.toml --cache-dir ../mypy {TYPED}"),
    "yamllint": (ROOT, "yamllint --strict ."),
    "ansible-lint": (ROOT, "ansible-lint --nocolor -q"),
    "antsibull-docs": (
        ROOT,
        "antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=self .",
    ),
    "antsibull-changelog": (ROOT, "antsibull-changelog lint"),
}


def passes(name: str, directory: Path, command: str) -> bool:
    """Run one linter; say how it went."""
    done = subprocess.run(command.split(), cwd=directory, capture_output=True, text=True, check=False)
    print(f"{name}: {'passed' if done.returncode == 0 else 'FAILED'}", flush=True)
    if done.returncode:
        print(done.stdout + done.stderr, flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    failed = [name for name, linter in LINTERS.items() if not passes(name, *linter)]
    sys.exit(1 if failed else 0)
