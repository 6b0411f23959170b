# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import warm_launcher

Talk = t.Callable[[socket.socket], None]


class Server:
    """Says what a test wants at the socket where the warm server is expected."""

    def __init__(self, directory: Path, talk: Talk) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / "server"))
        self._listener.listen()
        self._talk = talk
        self.heard = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _address = self._listener.accept()
        with connection:
            letter, files, _flags, _from = socket.recv_fds(connection, 1, 3)
            assert (letter, len(files)) == (b"j", 3)
            for file in files:
                os.close(file)
            while not self.heard.endswith(b"\n"):
                self.heard += connection.recv(65536)
            self._talk(connection)

    def close(self) -> None:
        self._thread.join(60)
        self._listener.close()


@pytest.fixture
def directory() -> t.Iterator[Path]:
    """Of a short name, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="w-") as name:
        yield Path(name)


def answer(*words: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        for word in words:
            connection.sendall(word)
            if word == b"y":
                assert connection.recv(1) == b"g"

    return talk


@pytest.mark.parametrize(
    ("words", "code"),
    [((b"y", b"0"), 0), ((b"y", b"2"), 2), ((b"y",), 250), ((b"n",), None), ((), None)],
)
def test_the_answer_of_the_server_decides(directory: Path, words: tuple[bytes, ...], code: int | None) -> None:
    server = Server(directory, answer(*words))
    assert warm_launcher.warm(str(directory), 60, ["play.yml"]) == code
    server.close()
    assert b'"argv": ["ansible-playbook", "play.yml"]' in server.heard


def test_without_a_server_it_is_cold(directory: Path) -> None:
    assert warm_launcher.warm(str(directory), 60, []) is None


def test_a_server_that_is_slow_never_hears_that_it_may_begin(directory: Path) -> None:
    given_up, heard = threading.Event(), []

    def talk(connection: socket.socket) -> None:
        given_up.wait(60)
        try:
            connection.sendall(b"y")
            heard.append(connection.recv(1))
        except OSError:
            heard.append(b"")

    server = Server(directory, talk)
    assert warm_launcher.warm(str(directory), 0.05, []) is None
    given_up.set()
    server.close()
    assert heard == [b""]


def run(directory: Path, responder: int, *places: Path) -> subprocess.CompletedProcess[str]:
    """Run it as a program in that directory."""
    environment = {
        "PATH": os.pathsep.join(str(place) for place in (directory, *places)),
        "OPENSTACK_HA_RESPONDER": str(responder),
        "OPENSTACK_HA_WARM": str(directory),
        "OPENSTACK_HA_WARM_PATIENCE": "60",
    }
    command = [sys.executable, "-IS", warm_launcher.__file__, f"{directory}/ansible-playbook", "-i", "x"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_what_has_lost_its_responder_already_does_not_begin(directory: Path) -> None:
    assert run(directory, 1).returncode == 250


@pytest.mark.parametrize("there", [True, False])
def test_the_plain_program_is_run_where_there_is_no_server(directory: Path, tmp_path: Path, there: bool) -> None:
    plain = tmp_path / "ansible-playbook"
    if there:
        plain.write_text('#!/bin/sh\necho plain "$@"; exit 7\n', encoding="utf-8")
        plain.chmod(0o700)
    done = run(directory, os.getpid(), tmp_path)
    if there:
        assert (done.returncode, done.stdout) == (7, "plain -i x\n")
    else:
        assert (done.returncode, done.stderr) == (127, "ansible-playbook: No such file or directory\n")
