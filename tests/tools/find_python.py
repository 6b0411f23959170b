"""Print the path of the first Python that really runs: ``find_python.py 3.11 3.12``.

The versions are tried in the order given, on PATH and in pyenv's directory. A pyenv shim on PATH can exist and
still not run, and Debian's Python can lack ``ensurepip``, so each candidate is asked to import what a virtual
environment needs. Prints nothing and returns 1 if there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator

_CHECK = "import sys, venv, ensurepip; print(sys.executable); print('%d.%d' % sys.version_info[:2])"


def candidates(version: str) -> Iterator[str]:
    """Programs that may be this version of Python."""
    for name in (f"python{version}", "python3"):
        found = shutil.which(name)
        if found:
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for folder in sorted(pyenv.glob(f"{version}.*"), key=_patch_level, reverse=True):
        yield str(folder / "bin" / f"python{version}")


def _patch_level(folder: Path) -> tuple[int, str]:
    last = folder.name.rsplit(".", 1)[-1]
    return (int(last) if last.isdigit() else -1, folder.name)


def real_path(program: str, version: str) -> str | None:
    """The interpreter behind a program, if it runs, is of this version, and can make virtual environments."""
    try:
        asked = subprocess.run([program, "-c", _CHECK], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    answer = asked.stdout.split("\n")
    return answer[0] if asked.returncode == 0 and answer[1:2] == [version] else None


def find(versions: list[str]) -> str | None:
    """The first of the versions that runs here."""
    for version in versions:
        for program in candidates(version):
            found = real_path(program, version)
            if found:
                return found
    return None


if __name__ == "__main__":
    path = find(sys.argv[1:])
    if not path:
        sys.exit(1)
    print(path)
