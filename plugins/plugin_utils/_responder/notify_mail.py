# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends notices as e-mail. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import contextlib
import email.message
import email.utils
import json
import smtplib
import ssl
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import Json, Say
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify import message

_TIMEOUT = 10.0  # seconds for each answer of the mail server
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_SHOWN = 5  # names in a subject


class Mail:
    """One mailbox or several; used by one thread. Mails of one look share a connection.

    :param settings: As configured. :param say: Told of recipients that a mail server refuses beside others.
    """

    kind = "mail"

    def __init__(self, settings: Json, say: Say) -> None:
        self._settings, self._say = settings, say
        self.target: str = settings["name"]
        self.events: t.Sequence[str] = settings.get("events") or ()
        self.projects: t.Sequence[str] = settings.get("projects") or ()
        self._server: smtplib.SMTP | None = None

    def post(self, notice: Json) -> str | None:
        """Why it has not arrived at the mail server; None: it has taken it over."""
        try:
            refused = self._connected().send_message(mail(notice, self._settings))
        except smtplib.SMTPResponseException as error:
            return self._failed(f"{self._settings['server']} answered {error.smtp_code} {_text(error.smtp_error)}")
        except smtplib.SMTPRecipientsRefused as error:
            answers = {f"{code} {_text(said)}" for code, said in error.recipients.values()}
            return self._failed(f"{self._settings['server']} refused all recipients: {'; '.join(sorted(answers))}")
        except smtplib.SMTPException as error:
            return self._failed(f"{self._settings['server']}: {error}")
        except OSError as error:
            return self._failed(f"{error.filename or self._settings['server']}: {error.strerror or error}")
        for address, (code, said) in refused.items():
            self._say(f"mail {self.target}: {address} was refused: {code} {_text(said)}")
        return None

    def rest(self) -> None:
        """Say goodbye to the mail server."""
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()

    def close(self) -> None:
        """The same."""
        self.rest()

    def _failed(self, reason: str) -> str:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        return reason

    def _connected(self) -> smtplib.SMTP:
        if self._server is None:
            self._server = self._connect()
            self._log_in(self._server)
        return self._server

    def _connect(self) -> smtplib.SMTP:
        security = self._settings["security"]
        host, port = _address(self._settings["server"], _PORTS[security])
        if security == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT, context=self._trust())
        server = smtplib.SMTP(host, port, timeout=_TIMEOUT)
        if security == "starttls":
            self._server = server  # to be closed if this fails
            server.starttls(context=self._trust())
        return server

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._settings.get("ca_file"))

    def _log_in(self, server: smtplib.SMTP) -> None:
        if self._settings.get("user"):
            with open(self._settings["password_file"], encoding="utf-8") as file:
                server.login(self._settings["user"], file.read().strip())


def mail(notice: Json, settings: Json) -> email.message.EmailMessage:
    """The mail: what happened in words that fit on a telephone, below it everything as JSON."""
    told = message(notice)
    found = email.message.EmailMessage()
    found["Subject"] = subject(told)
    found["From"] = settings["from"]
    found["To"] = ", ".join(settings["to"])
    found["Date"] = email.utils.formatdate()
    found["Message-ID"] = f"<{told['id']}@openstack-ha.invalid>"  # the same each time it is tried
    found["Auto-Submitted"] = "auto-generated"
    found["X-Openstack-Ha-Event"] = told["event"]
    found["X-Openstack-Ha-Id"] = told["id"]
    found.set_content(f"{subject(told)}\n\n{json.dumps(told, indent=2, ensure_ascii=False)}\n")
    return found


def subject(told: Json) -> str:
    """Where, what, about whom."""
    data = told["data"]
    about = [data["host"]] if data.get("host") else list(data.get("hosts") or [])
    vms = [vm.get("name") or vm["id"] for listed in (data.get("projects") or {}).values() for vm in listed]
    named = about or vms
    words = [told["event"].replace("_", " "), *([data["verdict"]] if data.get("verdict") else [])]
    names = ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")
    line = f"[openstack_ha {told['scope']}] {' '.join(words)}{': ' + names if names else ''}"
    return " ".join(line.split())  # names are given by people: no line of theirs becomes a header


def _address(server: str, port: int) -> tuple[str, int]:
    host, colon, given = server.rpartition(":")
    if not colon or given.endswith("]"):
        host, given = server, str(port)
    return host.strip("[]"), int(given)


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said
