# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the HA policy says about one VM, and which level says it. Pure. PRIVATE: may change at any time.

Many places may speak about a VM: the policy file, and marks on aggregates, flavors, images and VMs. Each word belongs
to a level and is about one key. For each key the finest level decides whose readable words agree; where they do not,
the level says nothing about that key, and that is told. docs/ha_policy.md is the same in prose.

Nothing here knows the host of a VM: whether a VM is protected must not depend on where the scheduler has put it.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _policy_schema, _selectors
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._ha_words import (
    IMAGE_PREFIX,
    KEYS,
    PREFIX,
    read,
    truth,
)

Json = t.Dict[str, t.Any]
Mapping = t.Mapping[str, t.Any]
Words = t.List["Word"]

#: From coarse to fine.
LEVELS = (
    "segment",
    "region",
    "cell",
    "zone",
    "aggregate",
    "project",
    "flavor",
    "image",
    "exclusion",
    "VM rule",
    "VM",
)
_FINEST_FIRST = LEVELS[::-1]

MASAKARI = "HA_Enabled"  # metadata of a VM, see ha_enabled_instance_metadata_key of masakari.conf
REDHAT = "evacuable"  # EVACUABLE_TAG of Red Hat's InstanceHA


@dataclasses.dataclass(frozen=True)
class Word:
    """What one place says about one key.

    :param source: The place, as a person would look for it. :param said: As it is written there.
    :param value: What it means; None where it cannot be understood.
    :param foreign: The word of another tool, which counts where its level has none of ours.
    :param unread: What is said there is not known at the moment.
    :param refused: The policy does not let who says it decide that.
    """

    level: str
    source: str
    key: str
    said: t.Any
    value: t.Any
    foreign: bool = False
    unread: bool = False
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.source}={_shown(self.said)}" if self.said is not None else self.source


@dataclasses.dataclass(frozen=True)
class Winner:
    """What holds for one key. :param notes: Why finer levels did not decide."""

    value: t.Any
    level: str
    source: str
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Protection:
    """What the policy says about one VM.

    :param method: How it is rescued: evacuate, rebuild, restart, notify, heat or none.
    :param priority: 0 to 1000; higher ones first. :param group: Its restart group. :param after: Groups before it.
    :param ready: When it counts as ready, see :func:`_restart_order.read_ready`.
    :param local_disk_loss: Whether its local disks may be lost. :param deadline: Seconds its owner has (notify).
    :param otherwise: The method after that. :param because: Who decided whether it is protected, and who could not.
    :param said_by: The level and source of each key that somebody spoke about.
    :param notes: What could not be understood, or contradicts itself, where it would have mattered.
    :param unread: What could not be read, and might have decided whether it is protected.
    """

    protected: bool
    method: str
    priority: int
    group: str | None
    after: tuple[str, ...]
    ready: Json | None
    local_disk_loss: bool
    deadline: float | None
    otherwise: str | None
    because: str
    said_by: Json = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def refusal(self) -> str:
        """Why nothing is done for the VM by this policy; nothing if something is."""
        if not self.protected:
            return f"is not protected: {self.because}"
        return "its rescue method is none" if self.method == "none" else ""

    def after_deadline(self) -> Protection:
        """What holds once its owner has had the time to rescue it: :attr:`otherwise` is the method."""
        said = {**self.said_by, "method": self.said_by.get("otherwise", {})}
        levels = [said.get(key, {}).get("level", "") for key in ("otherwise", "local_disk_loss")]
        loss = self.local_disk_loss or (self.otherwise == "rebuild" and _finer(*levels))
        return dataclasses.replace(self, method=self.otherwise or "none", local_disk_loss=loss, said_by=said)


def protection(facts: Mapping, policy: Mapping, segment: Mapping) -> Protection:
    """What holds for one VM.

    :param facts: Of the VM, see :mod:`_vm_facts`. :param policy: The complete policy.
    :param segment: Its failover segment as in ``ha_topology``: ``protect``, ``priority``, ``allow_local_disk_loss``.
    """
    words = _words(facts, policy, segment)
    return _protection(_winners(words), words)


def explain(facts: Mapping, policy: Mapping, segment: Mapping) -> Json:
    """The same with everything that was said: ``levels`` from fine to coarse, and the winner of each key."""
    words = _words(facts, policy, segment)
    winners = _winners(words)
    found = dataclasses.asdict(_protection(winners, words))
    return {
        **found,
        "unread": list(found["unread"]),
        "after": list(found["after"]),
        "notes": list(found["notes"]),
        "levels": [_level(level, [word for word in words if word.level == level]) for level in _FINEST_FIRST],
        "winners": {key: _winner_data(winners[key]) for key in KEYS},
        "conflicts": [note for level in _FINEST_FIRST for note in _conflicts(level, words)],
    }


def _protection(winners: dict[str, Winner], words: Words) -> Protection:
    values = {key: winner.value for key, winner in winners.items()}
    protected, who = values.pop("protect"), winners["protect"]
    notes = dict.fromkeys([*(note for key in KEYS for note in winners[key].notes), *_unknown(words)])
    return Protection(
        protected,
        **values,
        because="; ".join([who.source, *who.notes]),
        said_by={key: {"level": it.level, "source": it.source} for key, it in winners.items() if it.level},
        notes=tuple(notes),
        unread=tuple(word.source for word in words if word.unread and _finer(word.level, who.level)),
    )


def _finer(one: str, other: str) -> bool:
    return not other or LEVELS.index(one) > LEVELS.index(other)


# -- who wins -------------------------------------------------------------------------------------------------------

_DEFAULTS: Json = {"protect": True, "method": "evacuate", "priority": 500, "after": (), "local_disk_loss": False}


def _winners(words: Words) -> dict[str, Winner]:
    winners = {key: _winner(key, [word for word in words if word.key == key]) for key in KEYS}
    method, loss = winners["method"], winners["local_disk_loss"]
    if method.value == "rebuild" and _finer(method.level, loss.level):
        # To rebuild is to lose local disks, so who says that has spoken about them too.
        winners["local_disk_loss"] = Winner(True, method.level, method.source, loss.notes)
    return winners


def _winner(key: str, words: Words) -> Winner:
    notes: list[str] = []
    for level in _FINEST_FIRST:
        here = [word for word in words if word.level == level]
        for side in ([it for it in here if not it.foreign], [it for it in here if it.foreign]):
            notes += [_not_understood(word) for word in side if word.value is None]
            readable = [word for word in side if word.value is not None]
            if readable and not _agree(readable):
                notes.append(_contradiction(readable))
                break  # not the other tool's word either: the level has spoken, and said nothing
            if readable:
                return Winner(readable[0].value, level, str(readable[0]), tuple(notes))
    return Winner(_DEFAULTS.get(key), "", "nobody says otherwise", tuple(notes))


def _unknown(words: Words) -> list[str]:
    return [f"{word.source}: there is no such key" for word in words if word.key not in KEYS]


def _agree(words: Words) -> bool:
    return all(word.value == words[0].value for word in words)


def _not_understood(word: Word) -> str:
    if word.said is None:
        return word.source
    why = "does not count, see ha.owners_decide" if word.refused else "is not understood"
    return f"{word.source}={word.said!r} {why}"


def _contradiction(words: Words) -> str:
    return f"contradiction about {words[0].key} at the level {words[0].level}: " + ", ".join(map(str, words))


def _shown(said: t.Any) -> str:
    """As it is written."""
    if isinstance(said, bool):
        return str(said).lower()
    return ",".join(map(str, said)) if isinstance(said, (list, tuple)) else str(said)


# -- what is said ---------------------------------------------------------------------------------------------------


def cells_of(facts: Mapping, policy: Mapping) -> list[str]:
    """The cells that a VM is in, as far as the policy says what belongs to them; Nova's API does not."""
    aggregates = {aggregate["name"] for aggregate in facts["aggregates"]}
    return [
        name
        for name, cell in _ha(policy)["cells"].items()
        if facts["segment"] in cell["segments"]
        or facts["zone"] in cell["zones"]
        or aggregates & set(cell["aggregates"])
    ]


def _ha(policy: Mapping) -> Json:
    return t.cast(Json, policy.get("ha") or _default_ha())


@functools.lru_cache(maxsize=1)
def _default_ha() -> Json:
    return t.cast(Json, _policy_schema.defaults()["ha"])


def _words(facts: Mapping, policy: Mapping, segment: Mapping) -> Words:
    ha = _ha(policy)
    presets = ha["presets"]
    coarse = [("region", [facts["region"]]), ("cell", cells_of(facts, policy)), ("zone", [facts["zone"]])]
    return [
        *_of_segment(segment),
        *(word for level, names in coarse for word in _of_rules(level, names, ha)),
        *(word for aggregate in facts["aggregates"] for word in _of_aggregate(aggregate, ha, presets)),
        *_of_rules("project", _names(facts["project"]), ha),
        *_unread("project", facts["project"]),
        *_of_flavor(facts["flavor"], ha, presets),
        *_of_image(facts["image"] or {}, ha, presets),
        *_exclusions(facts, ha),
        *_of_vm_rules(facts, ha),
        *_of_vm(facts, ha, presets),
    ]


def _of_segment(segment: Mapping) -> Words:
    keys = {"protect": "protect", "priority": "priority", "allow_local_disk_loss": "local_disk_loss"}
    given = {key: segment[name] for name, key in keys.items() if segment.get(name) is not None}
    return _of_rule("segment", "segment default", given)


def _of_rules(level: str, names: t.Iterable[str], ha: Json) -> Words:
    """What the policy file says about objects of a level, by their names."""
    rules = ha[f"{level}s"]
    return [word for name in names for word in _of_rule(level, f"ha.{level}s.{name}", rules.get(name, {}))]


def _of_rule(level: str, source: str, rule: Json) -> Words:
    return [Word(level, f"{source} {key}", key, rule[key], read(key, rule[key])) for key in KEYS if key in rule]


def _names(thing: Mapping) -> list[str]:
    """By which the policy file may name it."""
    return list(dict.fromkeys(str(thing[key]) for key in ("id", "name") if thing.get(key)))


def _unread(level: str, thing: Mapping) -> Words:
    reason = thing.get("unread") or thing.get("forbidden")
    source = f"the {level} {thing.get('id')} could not be read ({reason})"
    return [Word(level, source, "protect", None, None, unread="unread" in thing)] if reason else []


def _of_aggregate(aggregate: Json, ha: Json, presets: t.Container[str]) -> Words:
    source, metadata = f"aggregate {aggregate['name']}", aggregate["metadata"]
    return [
        *_marks("aggregate", source, metadata.items()),
        *_evacuable("aggregate", source, metadata, presets),
        *_of_rules("aggregate", [aggregate["name"]], ha),
    ]


def _of_flavor(flavor: Json, ha: Json, presets: t.Container[str]) -> Words:
    specs = flavor["extra_specs"]
    return [
        *_marks("flavor", "flavor extra specs", specs.items()),
        *_evacuable("flavor", "flavor extra specs", specs, presets),
        *_ha_enabled("flavor", "flavor extra specs", specs, presets),
        *_of_rules("flavor", _names(flavor), ha),
    ]


def _of_image(image: Mapping, ha: Json, presets: t.Container[str]) -> Words:
    properties, tags = image.get("properties", {}), image.get("tags", [])
    marks = [
        *_marks("image", "image property", properties.items(), (PREFIX, IMAGE_PREFIX)),
        *_marks("image", "image tag", _pairs(tags)),
        *_evacuable("image", "image property", properties, presets),
        *_evacuable("image", "image tag", {REDHAT: "true"} if REDHAT in tags else {}, presets),
    ]
    return [
        # Only operators can make an image public; others belong to projects.
        *(marks if properties.get("visibility") == "public" else _of_owner(marks, ha)),
        *_of_rules("image", _names(image), ha),
        *_unread("image", image),
    ]


def _of_vm(facts: Mapping, ha: Json, presets: t.Container[str]) -> Words:
    marks = [
        *_marks("VM", "VM metadata", facts["metadata"].items()),
        *_marks("VM", "VM tag", _pairs(facts["tags"])),
        *_ha_enabled("VM", "VM metadata", facts["metadata"], presets),
    ]
    return _of_owner(marks, ha)


def _of_owner(marks: Words, ha: Json) -> Words:
    """What owners of VMs say, without what is not for them to say."""
    theirs = ha["owners_decide"]
    known = [word for word in marks if word.key not in KEYS or word.key in theirs]
    others = [word for word in marks if word.key in KEYS and word.key not in theirs]
    return known + [dataclasses.replace(word, value=None, refused=True) for word in others]


def _pairs(tags: t.Iterable[str]) -> t.Iterator[tuple[str, str]]:
    return ((name, said) for name, _equals, said in (tag.partition("=") for tag in tags))


def _marks(
    level: str, source: str, given: t.Iterable[tuple[str, t.Any]], prefixes: tuple[str, ...] = (PREFIX,)
) -> Words:
    """Our words among metadata, extra specs, properties or tags."""
    return [
        Word(level, f"{source} {name}", key, said, read(key, said) if key in KEYS else None)
        for name, said in given
        for prefix, key in ((it, name[len(it) :]) for it in prefixes if name.startswith(it))
    ]


def _ha_enabled(level: str, source: str, given: Mapping, presets: t.Container[str]) -> Words:
    """Masakari's word."""
    if "masakari" not in presets or MASAKARI not in given:
        return []
    said = given[MASAKARI]
    return [Word(level, f"{source} {MASAKARI}", "protect", said, truth(said), foreign=True)]


def _evacuable(level: str, source: str, given: Mapping, presets: t.Container[str]) -> Words:
    """Red Hat's word, also behind a scope, as in aggregate_instance_extra_specs:evacuable. Only yes is a word there."""
    if "redhat" not in presets:
        return []
    marked = {name: said for name, said in given.items() if name.rpartition(":")[2] == REDHAT}
    return [
        Word(level, f"{source} {name}", "protect", said, True, foreign=True)
        for name, said in marked.items()
        if str(said).strip().lower() == "true"
    ]


def _exclusions(facts: Mapping, ha: Json) -> Words:
    """VMs that their own service brings back."""
    words: Words = []
    for name, rule in ha["exclude"].items():
        source = f"ha.exclude.{name}"
        picked = _picks(rule["when"], facts) if rule["enabled"] else False
        if isinstance(picked, str):
            words.append(Word("exclusion", f"{source}.when", "protect", picked, None))
        elif picked:
            words.append(Word("exclusion", f"{source} ({rule['because']})", "protect", None, False))
    return words


def _of_vm_rules(facts: Mapping, ha: Json) -> Words:
    words: Words = []
    for number, rule in enumerate(ha["vms"]):
        source = f"ha.vms[{number}] {rule.get('name', '')}".rstrip()
        picked = _picks(rule["when"], facts)
        if isinstance(picked, str):
            words += [Word("VM rule", f"{source} when", key, picked, None) for key in KEYS if key in rule]
        elif picked:
            words += _of_rule("VM rule", source, rule)
    return words


def _picks(selector: str, facts: Mapping) -> bool | str:
    """Whether a selector picks the VM, or why nobody can tell."""
    try:
        return _selectors.matches(selector, facts)
    except ConfigError as error:
        return error.message


# -- what is shown --------------------------------------------------------------------------------------------------


def _level(level: str, words: Words) -> Json:
    return {"level": level, "says": [_word_data(word) for word in words]}


def _word_data(word: Word) -> Json:
    value = list(word.value) if isinstance(word.value, tuple) else word.value
    return {"key": word.key, "source": word.source, "said": word.said, "value": value, "foreign": word.foreign}


def _winner_data(winner: Winner) -> Json:
    value = list(winner.value) if isinstance(winner.value, tuple) else winner.value
    return {"value": value, "level": winner.level, "source": winner.source, "notes": list(winner.notes)}


def _conflicts(level: str, words: Words) -> list[str]:
    found = []
    for key in KEYS:
        here = [it for it in words if (it.level, it.key, it.foreign) == (level, key, False) and it.value is not None]
        found += [_contradiction(here)] if here and not _agree(here) else []
    return found
