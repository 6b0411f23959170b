# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals from CloudEvents. PRIVATE to this collection: may change at any time.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import re
import typing as t
import urllib.parse

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import event as events
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import EventError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import (
    HOST,
    Principal,
    Refused,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake import bodies
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.problems import Problem

Json = t.Dict[str, t.Any]
Row = t.Dict[str, t.Any]
HostOf = t.Callable[[str], str]

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
#: Of ``data`` in binary mode.
_JSON = re.compile(r"application/json|text/json|application/[a-z0-9.+-]+\+json")
_NO_SPACES = re.compile(r"[\x21-\x7e]+")


def given(content_type: str, headers: t.Mapping[str, str], body: bytes) -> list[t.Any]:
    """The events of a request, unchecked.

    :raises Problem: With 415: there can be none. With 400: they cannot be read.
    """
    if content_type == ONE:
        return [bodies.parse(body)]
    if content_type == BATCH:
        batch = bodies.parse(body)
        if not isinstance(batch, list):
            raise Problem(400, "A batch is a list of events.")
        return batch
    if "ce-specversion" in headers and _JSON.fullmatch(content_type):
        return [{**_attributes(headers), "data": bodies.parse(body)}]
    raise Problem(415, f"Send {ONE}, {BATCH}, or JSON with the attributes of an event as ce- headers.")


def _attributes(headers: t.Mapping[str, str]) -> Json:
    found = {name[3:]: urllib.parse.unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    try:
        bodies.check(found)
    except ValueError as error:
        raise Problem(400, f"The headers of the event: {error}") from None
    return found


def row(event: t.Any, principal: Principal, host_of: HostOf) -> Row:
    """What the journal keeps of an event.

    :param host_of: The service host that a name means, if the principal may speak about it.
    :raises Problem: With 400: it is not as it must be. :raises Refused: With 403.
    """
    try:
        signal = events.parse(event)
    except EventError as error:
        raise Problem(400, str(error)) from None
    for name in ("source", "event_id", "epoch"):
        if not _NO_SPACES.fullmatch(signal[name]):
            raise Problem(400, f"{name.removeprefix('event_')}: must be printable ASCII without spaces")
    for name in ("host", "object"):
        if signal[name] != signal[name].strip():
            raise Problem(400, f"data.{name}: must not begin or end with a space")
    if principal.kind == HOST and signal["kind"] == "host":
        raise Refused(403, f"{principal} cannot say whether it is reachable itself; that needs a reporter.")
    host = host_of(signal["host"])
    data = {**signal["data"], "time": event["time"]} if isinstance(event.get("time"), str) else signal["data"]
    source = _source(principal, signal["source"])
    return {**signal, "host": host, "data": data, "source": source, "reporter": str(principal)}


def _source(principal: Principal, source: str) -> str:
    """A source that nobody else can use: events of others must not be taken for these, nor these for theirs."""
    own = f"/{principal.kind}s/{principal.name}"
    if source == own or source.startswith(f"{own}/"):
        return source
    if principal.kind == HOST:
        raise Refused(403, f"source: events of {principal} come from {own} or below, not from {source[:80]!r}.")
    bound = f"{own}/{source.lstrip('/')}"
    if len(bound) > 255:
        raise Problem(400, "source: is too long")
    return bound
