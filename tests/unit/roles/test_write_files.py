"""What the role monitor writes the program with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "roles" / "monitor" / "files" / "write_files.py"
FILES = {"a.py": "# Grüße\n", "b.py": "x = 1\r\n"}


def run(folder: Path, mode: str) -> list[str]:
    command = [sys.executable, "-I", "-c", PROGRAM.read_text(encoding="utf-8"), str(folder), mode]
    done = subprocess.run(command, input=json.dumps(FILES), capture_output=True, text=True, check=True)
    return [Path(line).name for line in done.stdout.splitlines()]


def test_files_are_written_byte_for_byte_and_readable_for_all(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text("old and longer")
    (tmp_path / "b.py").chmod(0o600)
    assert run(tmp_path, "write") == ["a.py", "b.py"]
    assert {path.name: path.read_bytes().decode() for path in tmp_path.iterdir()} == FILES
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


@pytest.mark.parametrize("there", [True, False])
def test_a_check_names_them_and_writes_nothing(tmp_path: Path, there: bool) -> None:
    folder = tmp_path if there else tmp_path / "nowhere"
    assert run(folder, "check") == ["a.py", "b.py"]
    assert list(tmp_path.iterdir()) == []
