"""What make does about programs that are missing: say it first, install as root only, start no service."""

from __future__ import annotations

import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
COMMAND = "apt-get install -y --no-install-recommends rsync some-package"
PROGRAM = """
import os, sys, debian_packages
from pathlib import Path
os.geteuid = lambda: int(sys.argv[1])
debian_packages._POLICY = Path(sys.argv[2])
sys.exit(debian_packages.install(["rsync", "some-package"]))
"""
Install = t.Callable[[int], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Install with an apt-get that only notes how it was called and whether services may start."""
    (tmp_path / "apt-get").write_text(
        f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/called\nls {tmp_path} >> {tmp_path}/seen\n'
    )
    (tmp_path / "apt-get").chmod(0o755)

    def install(user: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, str(user), str(tmp_path / "policy-rc.d")],
            env={**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(TOOLS)},
            capture_output=True,
            text=True,
            check=False,
        )

    return install


def test_root_is_told_what_is_installed_before_it_is(install: Install, tmp_path: Path) -> None:
    done = install(0)
    assert done.returncode == 0, done.stderr
    assert "Missing Debian packages: rsync some-package" in done.stdout
    assert f"Installing them: {COMMAND}" in done.stdout
    assert (tmp_path / "called").read_text().endswith(f"{COMMAND}\n")


def test_services_of_new_packages_are_not_started_and_nothing_of_that_stays(install: Install, tmp_path: Path) -> None:
    install(0)
    assert "policy-rc.d" in (tmp_path / "seen").read_text()
    assert not (tmp_path / "policy-rc.d").exists()


def test_a_policy_that_is_there_stays_as_it_is(install: Install, tmp_path: Path) -> None:
    (tmp_path / "policy-rc.d").write_text("mine")
    install(0)
    assert (tmp_path / "policy-rc.d").read_text() == "mine"


def test_others_than_root_get_the_command_and_nothing_is_installed(install: Install, tmp_path: Path) -> None:
    done = install(1000)
    assert done.returncode == 1
    assert f"As root, run this, then make again:\n  {COMMAND}" in done.stdout
    assert not (tmp_path / "called").exists()
