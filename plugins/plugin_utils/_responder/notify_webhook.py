# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Posts notices to webhooks. PRIVATE to this collection: may change at any time.

Receivers check the signature::

    X-Openstack-Ha-Timestamp: 1763712000
    X-Openstack-Ha-Signature: sha256=<hex of HMAC-SHA256(secret, timestamp + "." + body)>
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import typing as t
import urllib.parse

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import Json
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify import message

try:
    import requests
except ImportError:
    requests = None  # type: ignore[assignment]  # reported when a notice is sent

_TIMEOUT = (3.0, 5.0)  # seconds to connect, and between two bytes of the answer


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What stands in the header ``X-Openstack-Ha-Signature``."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Webhook:
    """One webhook; used by one thread.

    :param settings: As configured: ``name``, ``url``, ``secret_file``, ``ca_file``, ``events``, ``projects``.
    """

    kind = "webhook"

    def __init__(self, settings: Json) -> None:
        self._settings = settings
        self.target: str = settings["name"]
        self.events: t.Sequence[str] = settings.get("events") or ()
        self.projects: t.Sequence[str] = settings.get("projects") or ()
        self._session: t.Any = None

    def post(self, notice: Json) -> str | None:
        """Why it has not arrived; None: it has."""
        if requests is None:
            return "the Python package requests is missing"
        self._session = self._session or requests.Session()
        body = json.dumps(message(notice)).encode()
        try:
            answer = self._session.post(
                self._settings["url"],
                data=body,
                headers=self._headers(notice, body),
                timeout=_TIMEOUT,
                verify=self._settings.get("ca_file") or True,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError) as error:
            # Its text may show the URL, in which some services have a secret.
            return f"{type(error).__name__} for {urllib.parse.urlsplit(self._settings['url']).hostname}"
        except OSError as error:
            return f"secret_file: {error.strerror}"
        return None if 200 <= answer.status_code < 300 else f"answered {answer.status_code} {answer.reason}"

    def rest(self) -> None:
        """Let go of connections: the next notice may be hours away."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def close(self) -> None:
        """The same."""
        self.rest()

    def _headers(self, notice: Json, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "X-Openstack-Ha-Event": notice["event"],
            "X-Openstack-Ha-Id": notice["id"],
        }
        if self._settings.get("secret_file"):
            # Read each time: it may have been changed. The wall clock is what the receiver can compare.
            with open(self._settings["secret_file"], "rb") as file:
                secret = file.read().strip()
            timestamp = str(int(time.time()))
            headers["X-Openstack-Ha-Timestamp"] = timestamp
            headers["X-Openstack-Ha-Signature"] = signature(secret, timestamp, body)
        return headers
