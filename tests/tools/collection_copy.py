"""Copy the collection to ``DEST/ansible_collections/openstack_ha/recovery``: all that git tracks or does not ignore.

ansible-test refuses a checkout that lies elsewhere, looks only at files that git knows, and follows no links.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def copy(destination: Path) -> Path:
    """Make the copy anew, with an index of its own; return where the collection lies."""
    target = destination / "ansible_collections" / "openstack_ha" / "recovery"
    shutil.rmtree(target, ignore_errors=True)
    for name in _files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)
    subprocess.run(["git", "add", "-A"], cwd=target, check=True)
    return target


def _files() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


if __name__ == "__main__":
    print(copy(Path(sys.argv[1]).resolve()))
