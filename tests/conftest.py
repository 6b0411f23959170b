"""Makes the checkout importable as ``ansible_collections.openstack_ha.recovery``, wherever it lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tree import collections_path

os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(collections_path())
if str(collections_path()) not in sys.path:
    sys.path.insert(0, str(collections_path()))
