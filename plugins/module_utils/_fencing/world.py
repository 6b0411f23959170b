# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real outside of fencing: processes, HTTP, clocks. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import signal
import ssl
import subprocess
import time
import typing as t
import urllib.error

from ansible.module_utils import urls

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    Completed,
    FencingError,
    FencingRefused,
    HttpAnswer,
    World,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.udp import listen
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import probe

_LARGEST_BODY = 1 << 20


def real_world() -> World:
    """The outside as it is."""
    return World(
        run=run_command, http=http_request, probe=probe, clock=time.monotonic, wait=time.sleep, utc=_utc, listen=listen
    )


def run_command(argv: list[str], *, env: dict[str, str], stdin: str, timeout: float) -> Completed:
    """Run a command in a process group of its own, which is gone when this returns.

    A fence agent starts children (ipmitool, snmpset): killing only the agent would leave them at work.
    """
    try:
        process = subprocess.Popen(
            argv,
            env={**os.environ, "LC_ALL": "C", **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise FencingRefused(f"Cannot run {argv[0]} on this machine: {error.strerror}. Install it.") from error
    try:
        stdout, stderr = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired as error:
        raise FencingError(f"{os.path.basename(argv[0])} gave no answer within {timeout:.1f} s") from error
    finally:
        _kill_group(process)
    return Completed(process.returncode, stdout, stderr)


def _kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with process:  # closes the pipes and waits
        pass


def http_request(
    method: str, url: str, *, body: dict[str, t.Any] | None, timeout: float, **transport: t.Any
) -> HttpAnswer:
    """Send one request and read the answer of any status, redirects included: credentials follow none.

    :param transport: Passed on to ``open_url``: credentials, TLS, proxy.
    """
    deadline = time.monotonic() + timeout
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body)
    try:
        try:
            response = urls.open_url(
                url, data, headers, method, timeout=timeout, follow_redirects="none", use_netrc=False, **transport
            )
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return _answer(response.status, _read(response, deadline))
    except (urls.ConnectionError, OSError, http.client.HTTPException) as error:
        raise _no_answer(method, url, error) from error


def _read(response: t.Any, deadline: float) -> bytes:
    """The body; a timeout of a socket counts from the last byte, so a trickle must be cut off here."""
    body = b""
    while chunk := response.read1(65536):
        body += chunk
        if time.monotonic() > deadline or len(body) > _LARGEST_BODY:
            raise TimeoutError("the answer is too slow or too long")
    return body


def _answer(status: int, body: bytes) -> HttpAnswer:
    text = body.decode(errors="replace")
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    return HttpAnswer(status, text, parsed if isinstance(parsed, dict) else None)


def _no_answer(method: str, url: str, error: Exception) -> FencingError:
    reason = getattr(error, "reason", None) or error
    text = f"no answer to {method} {url}: {str(reason) or type(reason).__name__}"
    if isinstance(reason, (ssl.SSLCertVerificationError, urls.SSLValidationError, FileNotFoundError)):
        return FencingRefused(f"{text} (see the options ca_path and validate_certs)")
    return FencingError(text)


def _utc() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
