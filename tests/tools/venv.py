"""Make or complete a virtual environment: ``venv.py build/controller 3.11,3.12 -r tests/requirements.txt …``.

The Pythons are tried in the order given. What follows is handed to ``pip install``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import debian_packages
from find_python import find


def make(folder: Path, versions: list[str], arguments: list[str]) -> int:
    """Make the environment if it is not there; install what it lacks."""
    python = folder / "bin" / "python"
    if not python.exists():
        base = find(versions) or (_install_python() and find(versions))
        if not base:
            print(f"{folder} needs one of Python {', '.join(versions)} with venv and ensurepip, on PATH or in pyenv.")
            return 1
        print(f"Making {folder} with {base}", flush=True)
        subprocess.run([base, "-m", "venv", str(folder)], check=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=False).returncode


def _install_python() -> bool:
    return debian_packages.install(debian_packages.missing(["python"])) == 0


if __name__ == "__main__":
    sys.exit(make(Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]))
