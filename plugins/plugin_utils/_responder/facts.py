# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From all that was heard, by whomever, to what the gates look at. PRIVATE to this collection: may change at any time.

Pure. Who is a witness: each responder by what it hears itself, each reporter by its last word, Nova, and probes.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _snapshot
from ansible_collections.openstack_ha.recovery.plugins.module_utils._networks import ALIVE, LOST, STORAGE, UNKNOWN, VMS
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import hearing
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.hearing import DOWN, UP, Heard
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.site import Site
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.sources import Services

Json = dict[str, t.Any]

RESPONDER = "responder"
#: Seconds for which the word of a reporter counts after it was said last: that a host is dead is said once by some, and
#: that it lives is no news an instant later.
DEAD_FOR, ALIVE_FOR = 900.0, 60.0
#: Seconds for which the word of a host about its own network counts; its monitor repeats it every 30 s.
OWN_WORD_FOR = 95.0
#: A responder that has not said anything for so many of its intervals says nothing.
INTERVALS = 3

_REPORTER = "reporter:"
_WORDS = {"failed": DOWN, "ok": UP}
_NOT_KNOWN: Json = dict.fromkeys(("in_flight", "fences", "orders", "storm"))


@dataclasses.dataclass(frozen=True)
class Scene:
    """All that one look has found.

    :param responders: The names of all responders. :param observers: What they have journaled.
    :param words: The last words of reporters about hosts, and of hosts about their networks, from the journal.
    :param cut: Hosts of which so many VMs have I/O errors that they seem to have lost their storage.
    :param ailing: Hosts with services that have failed, where the policy wants the gates to be asked about the host.
    """

    name: str
    responders: t.Sequence[str]
    site: Site
    heard: Heard
    services: Services
    observers: t.Sequence[Json] = ()
    words: t.Sequence[Json] = ()
    cut: t.Collection[str] = ()
    ailing: t.Collection[str] = ()

    def reporters(self, host: str) -> dict[str, str]:
        """What each reporter says of a host."""
        return self._reporters.get(host, {})

    def silent(self, host: str) -> bool:
        """Whether it seems to have failed, by what this responder hears or by Nova."""
        service = self.services.computes.get(host)
        down = bool(self.services.answers and service and service["state"] == "down" and not service["forced_down"])
        return down or self.heard.raw(host) == DOWN

    def networks(self, host: str) -> Json:
        """By network of the policy its state, and who says so; see ``_networks.state()``."""
        found: dict[str, Json] = {}
        for name in self.site.policy.get("networks") or {}:
            said = {reporter: words.get(name, UNKNOWN) for reporter, words in self._heard_by(host).items()}
            alive, lost = (sorted(who for who, word in said.items() if word == state) for state in (ALIVE, LOST))
            found[name] = {"state": ALIVE if alive else LOST if lost else UNKNOWN, "lost": lost, "alive": alive}
        return found

    def witnesses(self, host: str) -> dict[str, str]:
        """What each responder and each reporter says of a host."""
        own = {self.name: self.heard.word(host)} if self.heard.networks else {}
        others = {name: hearing.word(words) for name, words in self._others(host).items()}
        return {**others, **own, **self.reporters(host)}

    def suspects(self, but: t.Container[str], more: t.Iterable[str] = ()) -> list[str]:
        """Hosts about which there is something to decide.

        :param more: Hosts that are to be taken up again for other reasons.
        """
        found = set(more)
        for host in self.site.hosts():
            cut_off = any(self.heard.seems_lost(host, network) for network in self._watched())
            if cut_off or self.silent(host) or host in self.heard.kdump:
                found.add(host)
        found.update(host for host, said in self._reporters.items() if DOWN in said.values())
        found.update(host for host, lost in self._own_words.items() if lost)
        found.update(host for host in (*self.cut, *self.ailing) if host in self.site.topology["hosts"])
        return sorted(host for host in found if host not in but)

    def snapshot(
        self, suspects: t.Sequence[str], answers: t.Mapping[str, str], suspected: t.Mapping[str, float]
    ) -> Json:
        """One JSON document for the gates, without what the journal knows.

        :param answers: Of the probes. :param suspected: Seconds since each suspect was first suspected.
        """
        taken = _snapshot.compose(
            self.services.found, answers, self.site.topology, suspects, RESPONDER, self.site.policy
        )
        taken["observer"].update(name=self.name, up_for=self.heard.watching_for, api=self.services.answers)
        for host, found in taken["hosts"].items():
            found.update(self._of_host(host, found))
            if host in suspects:
                found.update(networks=self.networks(host), suspected_for=suspected.get(host, 0.0))
                found["witnesses"] = {**found["witnesses"], **self.witnesses(host)}
            if not self.services.answers:
                _forget_nova(found)
        return {**_NOT_KNOWN, **taken, "responders": len(self.responders)}

    def _of_host(self, host: str, found: Json) -> Json:
        word = self.heard.raw(host)
        return {
            "up_for": self.heard.up_for.get(host) if word == UP else None,
            "kdump": self.heard.kdump.get(host),
            "silent": True if word == DOWN else found["silent"],
        }

    def _watched(self) -> list[str]:
        """The networks whose loss is looked at, as far as this responder listens there."""
        return [name for name in self.site.policy.get("networks") or {} if name in self.heard.networks]

    def _heard_by(self, host: str) -> dict[str, dict[str, str]]:
        """Who says what of a host on which network: responders, and the host itself."""
        own = {self.name: {network: self.heard.on(host, network) for network in self.heard.networks}}
        itself = dict.fromkeys(self._own_words.get(host, ()), LOST)
        vms = dict.fromkeys(STORAGE, LOST) if host in self.cut else {}
        more = {who: words for who, words in ((host, itself), (VMS, vms)) if words}
        return {**self._others(host), **own, **more}

    def _others(self, host: str) -> dict[str, dict[str, str]]:
        """What the other responders say, by network."""
        return {
            row["name"]: hearing.said(row["view"] or {}, host) if _is_fresh(row) else {}
            for row in self.observers
            if row["name"] in self.responders and row["name"] != self.name
        }

    @functools.cached_property
    def _reporters(self) -> dict[str, dict[str, str]]:
        """By host and reporter the last word, if it still counts."""
        last: dict[tuple[str, str], Json] = {}
        for row in self.words:
            if row["kind"] == "host" and row["reporter"].startswith(_REPORTER):
                key = (row["host"], row["reporter"][len(_REPORTER) :])
                if key not in last or _age(row) <= _age(last[key]):
                    last[key] = row
        found: dict[str, dict[str, str]] = {}
        for (host, reporter), row in last.items():
            word = _WORDS.get(row["state"], UNKNOWN)
            counts = _age(row) <= (DEAD_FOR if word == DOWN else ALIVE_FOR)
            found.setdefault(host, {})[reporter] = word if counts else UNKNOWN
        return found

    @functools.cached_property
    def _own_words(self) -> dict[str, list[str]]:
        """The networks that each host itself says it has lost."""
        found: dict[str, list[str]] = {}
        known = self.site.policy.get("networks") or {}
        for row in self.words:
            own = row["kind"] == "network" and row["reporter"] == f"host:{row['host']}" and row["object"] in known
            if own and row["state"] == "failed" and _age(row) <= OWN_WORD_FOR:
                found.setdefault(row["host"], []).append(row["object"])
        return found


def _is_fresh(observer: Json) -> bool:
    interval = float((observer["view"] or {}).get("interval") or 0.0)
    return observer["age"] is not None and bool(observer["age"] <= INTERVALS * interval)


def _age(row: Json) -> float:
    return float("inf") if row["repeat_age"] is None else float(row["repeat_age"])


def _forget_nova(found: Json) -> None:
    """Whether its service lives is what is not known any more."""
    found["state"] = None
    if "nova" in found.get("witnesses", {}):
        found["witnesses"]["nova"] = UNKNOWN
