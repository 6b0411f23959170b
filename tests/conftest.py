"""Makes the checkout importable as ``ansible_collections.openstack_ha.recovery``, wherever it lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def collections_path() -> Path:
    """The directory that holds ``ansible_collections``: ours, or a tree with a link to the checkout."""
    if ROOT.parts[-3:] == ("ansible_collections", "openstack_ha", "recovery"):
        return ROOT.parents[2]
    link = ROOT / "build" / "tree" / "ansible_collections" / "openstack_ha" / "recovery"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(ROOT)
    return ROOT / "build" / "tree"


os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(collections_path())
if str(collections_path()) not in sys.path:
    sys.path.insert(0, str(collections_path()))
sys.path.insert(0, str(ROOT / "tests"))
