# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages of the programs around Nova. What they bring is used, their services are never started."""

from __future__ import annotations

import contextlib
import os
import sys
import typing as t
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tools"))

import debian_packages

_GROUPS = ["base", "multi"]
_POLICY = Path("/usr/sbin/policy-rc.d")


def install() -> str:
    """Install what is missing, after saying what; returns why that could not be done."""
    missing = debian_packages.missing(_GROUPS)
    if not missing:
        return ""
    with _services_stay_down():
        failed = debian_packages.install(missing)
    return f"the Debian packages {' '.join(missing)} are not installed, and could not be" if failed else ""


@contextlib.contextmanager
def _services_stay_down() -> t.Iterator[None]:
    """Debian asks this program before it starts the service of a new package; 101 means no."""
    if _POLICY.exists() or os.geteuid() != 0:
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
