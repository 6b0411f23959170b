# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends notices as OpenStack notifications over the message bus. PRIVATE: may change at any time.

The envelope is that of all services (messaging version 2.0): ``event_type``, ``publisher_id``, ``priority``,
``message_id``, ``timestamp``, ``payload``. The payload is what webhooks get, with its ``version``.
"""

from __future__ import annotations

import typing as t
import urllib.parse

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import Json
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify import message

_PRIORITY = "INFO"


class Bus:
    """Topics of a message bus; used by one thread.

    :param settings: As configured: ``name``, ``url_file``, ``topics``, ``publisher_id``, ``events``, ``projects``.
    """

    kind = "bus"

    def __init__(self, settings: Json) -> None:
        self._settings = settings
        self.target: str = settings["name"]
        self.events: t.Sequence[str] = settings.get("events") or ()
        self.projects: t.Sequence[str] = settings.get("projects") or ()
        self._transport: t.Any = None
        self._url = ""

    def post(self, notice: Json) -> str | None:
        """Why the broker has not taken it; None: it has."""
        try:
            # Here, because it brings much with it that a responder without a bus need not have in memory.
            import oslo_messaging
        except ImportError:
            return "the Python package oslo.messaging is missing"
        try:
            transport = self._connected(oslo_messaging)
            for topic in self._settings["topics"]:
                # Its Notifier would say in its own log that something went wrong, and nothing to us:
                # https://opendev.org/openstack/oslo.messaging/src/branch/master/oslo_messaging/notify/messaging.py
                transport._send_notification(
                    oslo_messaging.Target(topic=f"{topic}.{_PRIORITY.lower()}"),
                    {},
                    envelope(notice, self._settings["publisher_id"]),
                    version=2.0,
                    retry=0,
                )
        except OSError as error:
            return self._failed(f"{error.filename or self._host()}: {error.strerror or type(error).__name__}")
        except Exception as error:  # drivers raise what their libraries do; the text may show the password of the URL
            return self._failed(f"{type(error).__name__} for {self._host()}")
        return None

    def rest(self) -> None:
        """The connection is kept: it has its own heartbeats, and brokers take long to let somebody in."""

    def close(self) -> None:
        """Let go of the broker."""
        self._failed("")

    def _failed(self, reason: str) -> str:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.cleanup()
        return reason

    def _connected(self, library: t.Any) -> t.Any:
        """The transport; a new one when the URL in the file is another."""
        with open(self._settings["url_file"], encoding="utf-8") as file:
            url = file.read().strip()
        if self._transport is not None and url != self._url:
            self._failed("")
        if self._transport is None:
            self._url = url
            from oslo_config import cfg

            config = cfg.ConfigOpts()
            config([], project="openstack_ha", default_config_files=[], default_config_dirs=[])
            self._transport = library.get_notification_transport(config, url=url)
        return self._transport

    def _host(self) -> str:
        """Of a URL that may name several brokers, without their passwords."""
        hosts = urllib.parse.urlsplit(self._url).netloc.split(",")
        return ", ".join(host.rpartition("@")[2] for host in hosts) or "its broker"


def envelope(notice: Json, publisher_id: str) -> Json:
    """As oslo.messaging's Notifier makes it."""
    return {
        "message_id": notice["id"],
        "publisher_id": publisher_id,
        "event_type": f"openstack_ha.{notice['event']}",
        "priority": _PRIORITY,
        "payload": message(notice),
        "timestamp": notice["made_at"],
    }
