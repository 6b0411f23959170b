"""Run ansible-test on a copy of the collection under build/: ``ansible_test.py sanity|units [OPTION ...]``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from collection_copy import ROOT, copy

WORK = ROOT / "build" / "ansible-test"
# The names under which ansible-test looks for its download: of core 2.19 and of 2.20 and later.
GET_PIP = ("get_pip_24_2.py", "get_pip_25_2.py")


def environment(python: Path) -> dict[str, str]:
    """A home of its own, the given Python first, and no version manager between."""
    cache = WORK / "home" / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for name in GET_PIP:
        shutil.copyfile(ROOT / "tests" / "tools" / "get_pip.py", cache / name)
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTHON", "PYTEST"))}
    return {**kept, "HOME": str(WORK / "home"), "PATH": f"{python.parent}:{system}"}


def main(command: str, arguments: list[str]) -> int:
    """Run one command of ansible-test with the Python that runs this."""
    python = Path(sys.executable)
    version = ".".join(map(str, sys.version_info[:2]))
    options = ["--venv"] if command == "units" else []
    target = copy(WORK)
    shutil.copyfile(ROOT / "tests" / "constraints.txt", target / "tests" / "unit" / "constraints.txt")
    return subprocess.run(
        [str(python.parent / "ansible-test"), command, *options, "--python", version, "--color", "no", *arguments],
        cwd=target,
        env=environment(python),
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
