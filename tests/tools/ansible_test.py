"""Run ansible-test on a copy of the collection under build/: ``ansible_test.py sanity|units [OPTION ...]``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from collection_copy import ROOT, copy
from steady import MOST_AGAIN

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
    """Run one command of ansible-test with the Python that runs this.

    Where few unit tests fail it is run once more, as in steady.py: ansible-test leaves out what comes after a failure.
    """
    code, failed = run(command, arguments)
    if code and command == "units" and 0 < len(failed) <= MOST_AGAIN:
        print(f"== once more, because of {', '.join(failed)}", flush=True)
        code, _failed = run(command, arguments)
        if code == 0:
            print("\n".join(f"unsteady: {test}" for test in failed), flush=True)
    return code


def run(command: str, arguments: list[str]) -> tuple[int, list[str]]:
    """Its exit code, and the tests that have failed."""
    python = Path(sys.executable)
    version = ".".join(map(str, sys.version_info[:2]))
    options = ["--venv"] if command == "units" else []
    target = copy(WORK)
    shutil.copyfile(ROOT / "tests" / "constraints.txt", target / "tests" / "unit" / "constraints.txt")
    argv = [str(python.parent / "ansible-test"), command, *options, "--python", version, "--color", "no", *arguments]
    failed = []
    with subprocess.Popen(
        argv, cwd=target, env=environment(python), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if line.startswith("FAILED "):
                failed.append(line.split()[1])
    return process.returncode, failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
