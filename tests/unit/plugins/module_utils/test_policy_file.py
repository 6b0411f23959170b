from __future__ import annotations

import builtins
import copy
import sys
import typing as t

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _config, _policy_checks, _policy_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_file import Policy
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import SCHEMA, defaults

Json = dict[str, t.Any]
Place = tuple[t.Any, ...]
SEGMENTS, DOMAINS = ("rack1", "rack2"), ("pdu-a", "pdu-b")


def parsed(text: str, domains: t.Collection[str] = DOMAINS) -> Policy:
    return _policy_file.parse(_config.read(text), SEGMENTS, domains)


def refusals(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert caught.value.message == "\n".join(_config.errors_of(caught.value))
    return _config.errors_of(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing yet", "{}", "{gates: {}, vms: {}}"])
def test_what_says_nothing_is_the_policy_of_the_defaults(text: str) -> None:
    assert parsed(text) == Policy()
    assert parsed(text).values == defaults()
    assert parsed(text).hash == Policy().hash


def test_what_is_said_holds_and_the_rest_is_filled_in() -> None:
    values = parsed("{gates: {witnesses: {needed: 3}}, ask: {wait: 60}}").values
    expected = defaults()
    expected["gates"]["witnesses"]["needed"] = 3
    expected["ask"]["wait"] = 60
    assert values == expected


def test_the_caps_of_one_segment_are_those_of_each_where_they_say_nothing() -> None:
    values = parsed(
        """
        budgets:
          cloud: {at_once: 9, per_hour: 9}
          segment: {per_hour: 5}
          segments: {rack1: {at_once: 2}}
          failure_domains: {pdu-a: {}}
        """
    ).values["budgets"]
    assert values["segments"] == {"rack1": {"at_once": 2, "at_once_percent": 100, "per_hour": 5}}
    assert values["failure_domains"] == {"pdu-a": {"at_once": 1, "at_once_percent": 100, "per_hour": 3}}


RULE = {"lost": ["storage"], "alive": [], "reaction": "recover"}


def test_a_segment_has_all_networks_and_what_fits_of_the_table_of_the_cloud_where_it_says_nothing() -> None:
    values = parsed(
        """
        networks: {admin: {}, storage: {}}
        reactions: [{lost: [storage], alive: [admin], reaction: ask}, {lost: [storage], reaction: recover}]
        segments:
          rack1: {networks: [storage]}
          rack2: {reactions: [{alive: [admin], reaction: ask}]}
        """
    ).values
    assert values["reactions"] == [{"lost": ["storage"], "alive": ["admin"], "reaction": "ask"}, RULE]
    assert values["segments"] == {
        "rack1": {"networks": ["storage"], "reactions": [RULE]},
        "rack2": {
            "networks": ["admin", "storage"],
            "reactions": [{"lost": [], "alive": ["admin"], "reaction": "ask"}],
        },
    }


def test_without_a_table_there_is_the_default_one_for_the_networks_that_there_are() -> None:
    values = parsed("{networks: {admin: {}, storage: {}}, segments: {rack1: {networks: [storage]}}}").values
    assert RULE in values["reactions"]
    assert {"lost": ["admin"], "alive": [], "reaction": "alert"} in values["reactions"]
    assert values["segments"]["rack1"]["reactions"] == [RULE]


def test_an_empty_table_stays_empty() -> None:
    assert parsed("{networks: {admin: {}}, reactions: []}").values["reactions"] == []


def test_nothing_of_the_file_is_shared_with_what_is_made_of_it() -> None:
    config = _config.read("{networks: {admin: {cidrs: [192.0.2.0/24]}}, budgets: {segments: {rack1: {at_once: 1}}}}")
    before = copy.deepcopy(config)
    values = _policy_file.parse(config, SEGMENTS, DOMAINS).values
    values["networks"]["admin"]["cidrs"].append("x")
    values["budgets"]["segments"]["rack1"]["at_once"] = 5
    assert config == before


def test_what_a_segment_inherits_is_its_own_copy() -> None:
    values = parsed(NETWORKS + "reactions: [{lost: [storage], reaction: ask}]\nsegments: {rack1: {}}").values
    values["segments"]["rack1"]["reactions"][0]["lost"].append("admin")
    values["segments"]["rack1"]["networks"].append("x")
    assert values["reactions"] == [{"lost": ["storage"], "alive": [], "reaction": "ask"}]
    assert list(values["networks"]) == ["admin", "storage"]


def test_the_hash_tells_what_holds_and_not_how_it_is_written() -> None:
    one = parsed("{ask: {wait: 60}, vms: {priority: 500}}").hash
    assert one == parsed("{ask: {default: hold, wait: 60}}").hash
    assert one != parsed("{ask: {wait: 61}}").hash
    assert len(one) == 64


NETWORKS = "networks: {admin: {}, storage: {}}\n"
A_NAME = "a name is made of letters, digits, '_', '-' and '.', and does not begin with '-' or '.'."
SECONDS = "must be a whole number of seconds from"
REFUSED = [
    # keys
    ("gats: {}", "gats: unknown key. Did you mean 'gates'?"),
    ("zzzzzz: 1", f"zzzzzz: unknown key. Known keys here: {', '.join(sorted(SCHEMA['properties']))}."),
    ("gates: {cool_dwn: 1}", "gates.cool_dwn: unknown key. Did you mean 'cool_down'?"),
    ("gates: {kdump: {time: 1}}", "gates.kdump.time: unknown key. Did you mean 'timeout'?"),
    ("budgets: {clowd: {}}", "budgets.clowd: unknown key. Did you mean 'cloud'?"),
    ("budgets: {segments: {rack1: {at_most: 1}}}", "budgets.segments.rack1.at_most: unknown key."),
    ("networks: {admin: {cidr: []}}", "networks.admin.cidr: unknown key. Did you mean 'cidrs'?"),
    ("reactions: [{reaction: ask, dead: []}]", "reactions[0].dead: unknown key."),
    ("segments: {rack1: {network: []}}", "segments.rack1.network: unknown key. Did you mean 'networks'?"),
    ("no: 1", "False: a key must be a string; put it in quotes."),
    ("networks: {1: {}}", "networks.1: a key must be a string; put it in quotes."),
    ("networks: {a b: {}}", f"networks.a b: {A_NAME}"),
    ("networks: {-a: {}}", f"networks.-a: {A_NAME}"),
    ("networks: {'': {}}", f"networks.: {A_NAME}"),
    # types
    ("[gates]", "the policy: must be a mapping, not a list."),
    ("gates", "the policy: must be a mapping, not 'gates'."),
    ("gates:", "gates: must be a mapping, not None."),
    ("budgets: []", "budgets: must be a mapping, not a list."),
    ("gates: {cool_down: '300'}", f"gates.cool_down: {SECONDS} 0 to 86400, not '300'."),
    ("gates: {cool_down: 5 min}", f"gates.cool_down: {SECONDS} 0 to 86400, not '5 min'."),
    ("gates: {cool_down: 300.0}", f"gates.cool_down: {SECONDS} 0 to 86400, not 300.0."),
    ("gates: {cool_down: true}", f"gates.cool_down: {SECONDS} 0 to 86400, not True."),
    ("gates: {cool_down: }", f"gates.cool_down: {SECONDS} 0 to 86400, not None."),
    ("gates: {cool_down: [1]}", f"gates.cool_down: {SECONDS} 0 to 86400, not a list."),
    ("gates: {cool_down: {}}", f"gates.cool_down: {SECONDS} 0 to 86400, not a mapping."),
    ("gates: {cool_down: 2026-01-01}", f"gates.cool_down: {SECONDS} 0 to 86400, not a special value."),
    ("gates: {cool_down: .inf}", f"gates.cool_down: {SECONDS} 0 to 86400, not inf."),
    ("gates: {cool_down: .nan}", f"gates.cool_down: {SECONDS} 0 to 86400, not nan."),
    ("gates: {planned: 5}", "gates.planned: must be one of ask, ignore, alert, not 5."),
    ("gates: {planned: [ask]}", "gates.planned: must be one of ask, ignore, alert, not a list."),
    ("gates: {witnesses: {required: nova}}", "gates.witnesses.required: must be a list, not 'nova'."),
    ("gates: {witnesses: {required: [1]}}", "gates.witnesses.required[0]: must be a string (in quotes"),
    ("gates: {witnesses: {required: [a, '']}}", "gates.witnesses.required[1]: must be a string (in quotes"),
    ("networks: {admin: }", "networks.admin: must be a mapping, not None."),
    ("networks: {admin: {cidrs: 192.0.2.0/24}}", "networks.admin.cidrs: must be a list, not '192.0.2.0/24'."),
    ("reactions: {}", "reactions: must be a list, not a mapping."),
    ("reactions: [ask]", "reactions[0]: must be a mapping, not 'ask'."),
    ("vms: {protect: 'yes'}", "vms.protect: must be true or false, not 'yes'."),
    ("vms: {protect: 1}", "vms.protect: must be true or false, not 1."),
    # bounds and choices
    ("gates: {cool_down: -1}", f"gates.cool_down: {SECONDS} 0 to 86400, not -1."),
    ("gates: {cool_down: 86401}", f"gates.cool_down: {SECONDS} 0 to 86400, not 86401."),
    (
        "gates: {witnesses: {needed: 1}}",
        "gates.witnesses.needed: must be a whole number of witnesses from 2 to 10, not 1.",
    ),
    ("gates: {mass_silence: {hosts: 1}}", "gates.mass_silence.hosts: must be a whole number of hosts from 2 to 10000"),
    (
        "gates: {mass_silence: {percent: 0}}",
        "gates.mass_silence.percent: must be a whole number of percent from 1 to 100",
    ),
    ("gates: {mass_silence: {percent: 101}}", "gates.mass_silence.percent: must be a whole number of percent"),
    (
        "budgets: {cloud: {at_once: 0}}",
        "budgets.cloud.at_once: must be a whole number of hosts from 1 to 10000, not 0.",
    ),
    ("budgets: {segments: {rack1: {per_hour: 0}}}", "budgets.segments.rack1.per_hour: must be a whole number of hosts"),
    ("vms: {priority: 1001}", "vms.priority: must be a whole number from 0 to 1000, not 1001."),
    ("gates: {planned: recover}", "gates.planned: must be one of ask, ignore, alert, not 'recover'."),
    ("ask: {default: alert}", "ask.default: must be one of hold, recover, not 'alert'."),
    (
        "reactions: [{reaction: evacuate}]",
        "reactions[0].reaction: must be one of recover, migrate, alert, ignore, ask, not",
    ),
    (
        "reactions: [{lost: []}]",
        "reactions[0].reaction: is missing; must be one of recover, migrate, alert, ignore, ask.",
    ),
    ("gates: {witnesses: {required: [a, b, a]}}", "gates.witnesses.required: a stands twice in the list."),
    # templates and secrets
    (
        "gates: {cool_down: '{{ x }}'}",
        "gates.cool_down: is a template; the policy resolves none, write the value itself.",
    ),
    ("networks: {a: {cidrs: ['{% x %}']}}", "networks.a.cidrs[0]: is a template; the policy resolves none"),
    ("ask: !vault abc", "ask: is vaulted; the policy holds no secrets, write the value itself."),
    # what no schema can say
    ("gates: {kdump: {timeout: 10}}", "gates.kdump.quiet: must be less than gates.kdump.timeout (10), not 25."),
    ("gates: {kdump: {quiet: 300}}", "gates.kdump.quiet: must be less than gates.kdump.timeout (300), not 300."),
    (
        "ask: {default: recover}",
        "ask.default: recover needs an ask.wait of more than 0 seconds, or nobody could say no.",
    ),
    (
        "networks: {a: {cidrs: [192.0.2.0]}}",
        "networks.a.cidrs[0]: must be an address range as 192.0.2.0/24, not '192.0.2.0'.",
    ),
    ("networks: {a: {cidrs: [192.0.2.0/33]}}", "networks.a.cidrs[0]: must be an address range as 192.0.2.0/24, not"),
    ("networks: {a: {cidrs: [storage/24]}}", "networks.a.cidrs[0]: must be an address range as 192.0.2.0/24, not"),
    (
        "networks: {a: {cidrs: [192.0.2.0/24, 192.0.2.9/24]}}",
        "networks.a.cidrs[1]: 192.0.2.9/24 is an address in a range; the range is 192.0.2.0/24.",
    ),
    (
        "networks: {a: {isolation_addresses: [192.0.2.1]}}",
        "networks.a.isolation_addresses[0]: must be tcp://address:port, not '192.0.2.1'.",
    ),
    (
        "networks: {a: {isolation_addresses: ['tcp://a']}}",
        "networks.a.isolation_addresses[0]: must be tcp://address:port",
    ),
    (
        "budgets: {segments: {rak1: {}}}",
        "budgets.segments.rak1: the segments file has no segment 'rak1'. Did you mean 'rack1'?",
    ),
    (
        "budgets: {failure_domains: {zz: {}}}",
        "budgets.failure_domains.zz: the segments file has no failure domain 'zz'. Its failure domains: pdu-a, pdu-b.",
    ),
    ("segments: {zzz: {}}", "segments.zzz: the segments file has no segment 'zzz'. Its segments: rack1, rack2."),
    (
        NETWORKS + "reactions: [{lost: [storge], reaction: ask}]",
        "reactions[0].lost[0]: there is no network 'storge' here. Did you mean 'storage'?",
    ),
    (
        "reactions: [{alive: [x], reaction: ask}]",
        "reactions[0].alive[0]: there is no network 'x' here. The networks here: none.",
    ),
    (NETWORKS + "segments: {rack1: {networks: [bmc]}}", "segments.rack1.networks[0]: there is no network 'bmc' here."),
    (
        NETWORKS + "segments: {rack1: {networks: [admin], reactions: [{lost: [storage], reaction: ask}]}}",
        "segments.rack1.reactions[0].lost[0]: there is no network 'storage' here. The networks here: admin.",
    ),
    (
        NETWORKS + "reactions: [{lost: [admin, storage], alive: [admin], reaction: ask}]",
        "reactions[0]: admin cannot be lost and alive at once.",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message for _text, message in REFUSED])
def test_a_wrong_policy_is_refused_with_the_path_of_the_wrong_key_and_nothing_else(text: str, message: str) -> None:
    found = refusals(text)
    assert len(found) == 1, found
    assert found[0].startswith(message)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert refusals(
        """
        gates: {cool_dwn: 1, cool_down: x, kdump: {quiet: 500}, planned: "{{ x }}"}
        networks: {storage: {cidrs: 5}, admin: {cidrs: [x/1]}}
        reactions: [{lost: [storage], reaction: ask}, {lost: [bmc], reaction: ask}]
        budgets: {segments: {rack3: {}}}
        """
    ) == [
        "gates.planned: is a template; the policy resolves none, write the value itself.",
        "gates.cool_dwn: unknown key. Did you mean 'cool_down'?",
        f"gates.cool_down: {SECONDS} 0 to 86400, not 'x'.",
        "networks.storage.cidrs: must be a list, not 5.",
        "gates.kdump.quiet: must be less than gates.kdump.timeout (300), not 500.",
        "budgets.segments.rack3: the segments file has no segment 'rack3'. Did you mean 'rack2'?",
        "networks.admin.cidrs[0]: must be an address range as 192.0.2.0/24, not 'x/1'.",
        "reactions[1].lost[0]: there is no network 'bmc' here. The networks here: admin, storage.",
    ]


def test_any_failure_domain_may_be_named_where_one_is_a_template() -> None:
    assert parsed("budgets: {failure_domains: {pdu-z: {}}}", ["pdu-a", "{{ rack }}"]).values["budgets"][
        "failure_domains"
    ]


def test_without_jsonschema_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: t.Any, **more: t.Any) -> t.Any:
        if name == "jsonschema":
            raise ImportError(name)
        return real(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "jsonschema", raising=False)
    with pytest.raises(RecoveryError, match="The Python package jsonschema is needed"):
        parsed("vms: {}")


def test_without_netaddr_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_policy_checks, "netaddr", None)
    with pytest.raises(RecoveryError, match="The Python package netaddr is needed"):
        parsed("networks: {a: {cidrs: [192.0.2.0/24]}}")


# -- any single change of a valid policy ---------------------------------------------------------------------------

FULL = yaml.safe_load(
    """
    gates:
      planned: alert
      witnesses: {needed: 3, required: [nova, probe], ask_after: 10}
      start_grace: 30
      power_restored: {percent: 60, within: 600}
      kdump: {timeout: 100, quiet: 5}
      flapping: {recoveries: 2, within: 3600}
      fence_ready: {max_age: 86400}
      mass_silence: {hosts: 5, percent: 20, ask_after: 100}
      cool_down: 60
    budgets:
      cloud: {at_once: 9, at_once_percent: 10, per_hour: 9}
      segment: {at_once: 2, at_once_percent: 50, per_hour: 4}
      failure_domain: {at_once: 3, at_once_percent: 50, per_hour: 6}
      segments: {rack1: {at_once: 4, at_once_percent: 30, per_hour: 5}}
      failure_domains: {pdu-a: {at_once: 4, at_once_percent: 30, per_hour: 5}}
    networks:
      admin: {cidrs: [192.0.2.0/24], isolation_addresses: ["tcp://192.0.2.1:22"]}
      storage: {cidrs: [203.0.113.0/24, "2001:db8::/64"], isolation_addresses: ["tcp://[2001:db8::1]:3300"]}
    reactions:
      - {lost: [storage], alive: [], reaction: recover}
      - {lost: [admin], alive: [storage], reaction: alert}
    segments:
      rack1: {networks: [admin], reactions: [{lost: [admin], alive: [], reaction: ask}]}
    ask: {wait: 60, default: hold, answer_valid: 600}
    processes:
      then: migrate
      disable: true
      units: {libvirtd.service: {then: recover, disable: false}}
      restart: {over_ssh: true, settle: 30}
      healthy_for: 600
      at_once: 4
      at_once_percent: 30
    drain:
      {vms: all, parallel: 8, per_target: 4, vm_timeout: 300, fallback: cold_migrate, powered_off: cold_migrate}
    restart:
      tiers: [900, 100]
      tier_timeout: 300
      ready: landed
      groups:
        databases: {ready: tcp:5432, shared: true}
        applications: {after: [databases], ready: guest_agent}
      probe_networks: [192.0.2.0/24]
      tasks: {smoke: {url: "http://checks.example.net/{id}"}}
    instances:
      types:
        {crashed: alert, stopped: recover, panicked: ignore, io_error: recover, watchdog: alert, guest_silent: ignore,
         paused: recover}
      watchdog: {reset: alert, poweroff: recover, pause: alert, none: recover, wait: 30}
      locked: recover
      resume_wait: 60
      tries: 2
      within: 600
      back_off: 10
      back_off_most: 100
      then: alert
      elsewhere: {how: shelve, tries: 2}
      parallel: 8
      hard_reboot: none
      stop_timeout: 60
      start_timeout: 60
      move_timeout: 600
      view_timeout: 60
      stable: 5
      storage_suspect: {vms: 4, percent: 40}
    hooks:
      before_fence: {files: [/etc/a.yml], timeout: 10, on_error: stop}
      after_fence: {files: [/etc/b.yaml], timeout: 10, on_error: stop}
      before_evacuate: {files: [], timeout: 10, on_error: continue}
      after_verify: {files: [/etc/c.yml, /etc/d.yml], timeout: 100, on_error: continue}
      on_failure: {files: [], timeout: 100, on_error: continue}
    ha:
      presets: [redhat]
      owners_decide: [protect, method]
      regions: {RegionOne: {protect: true}}
      cells: {cell1: {segments: [rack1], zones: [], aggregates: [ssd], priority: 400}}
      zones: {"zone 1": {method: notify, deadline: 60.5, otherwise: rebuild}}
      aggregates: {ssd: {local_disk_loss: true}}
      projects: {"p (1)": {group: frontends, after: [applications], ready: "http:80/ok", deadline: 1, otherwise: heat}}
      flavors: {m1.tiny: {protect: false, group: applications}}
      images: {Ubuntu 24.04: {priority: 0}}
      exclude: {octavia: {enabled: false, when: "name == 'x'", because: why}, ci: {when: "name == 'y'", because: b}}
      vms: [{name: web, when: "metadata.role == 'web'", protect: true, method: none}]
    vms: {protect: false, priority: 100}
    """
)


def places(value: t.Any, place: Place = ()) -> t.Iterator[Place]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*place, key)
        yield from places(item, (*place, key))


PLACES = list(places(FULL))
NAMED = {
    ("networks",),
    ("segments",),
    ("budgets", "segments"),
    ("budgets", "failure_domains"),
    ("processes", "units"),
    ("restart", "groups"),
    ("restart", "tasks"),
    *(
        ("ha", level)
        for level in ("regions", "cells", "zones", "aggregates", "projects", "flavors", "images", "exclude")
    ),
}
#: Places whose key is a word of the schema, not a name that the operator gives.
KEYED = [place for place in PLACES if isinstance(place[-1], str) and place[:-1] not in NAMED]


def dotted(place: Place) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).lstrip(".")


def changed(place: Place, change: t.Callable[[t.Any, t.Any], None]) -> Json:
    policy = copy.deepcopy(FULL)
    holder = policy
    for key in place[:-1]:
        holder = holder[key]
    change(holder, place[-1])
    return policy


def refused_at(policy: Json) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _policy_file.parse(policy, SEGMENTS, DOMAINS)
    return [message.split(": ")[0] for message in _config.errors_of(caught.value)]


def test_the_policy_that_is_changed_is_valid_and_uses_every_key() -> None:
    assert _policy_file.parse(FULL, SEGMENTS, DOMAINS).warnings == []
    used = {tuple(key for key in place if isinstance(key, str)) for place in PLACES}
    assert {(section, key) for section, it in SCHEMA["properties"].items() for key in it.get("properties", {})} <= used


@examples(300)
@given(st.sampled_from(KEYED), st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12), st.integers(0, 12))
def test_a_key_that_is_mistyped_is_refused_with_its_path(place: Place, letters: str, where: int) -> None:
    new = place[-1][:where] + letters + place[-1][where:]

    def rename(holder: Json, key: str) -> None:
        assume(new not in holder)
        holder[new] = holder.pop(key)

    assert dotted((*place[:-1], new)) in refused_at(changed(place, rename))


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(), max_size=2),
)


def kind(value: t.Any) -> type:
    return type(value)


@examples(500)
@given(st.sampled_from(PLACES), ODD)
def test_a_value_of_another_type_is_refused_with_its_path(place: Place, value: t.Any) -> None:
    def replace(holder: t.Any, key: t.Any) -> None:
        old = holder[key]
        optional = value is None and place[-1] in ("reactions", "networks") and isinstance(old, list)
        if kind(old) is not kind(value) and not optional:
            holder[key] = value

    policy = changed(place, replace)
    if policy != FULL or repr(policy) != repr(FULL):
        assert dotted(place) in refused_at(policy)


@examples(200)
@given(st.sampled_from([place for place in KEYED if place[-1] not in ("reaction", "url", "when", "because")]))
def test_every_key_may_be_left_out(place: Place) -> None:
    policy = changed(place, lambda holder, key: holder.pop(key))
    if place == ("networks",):
        assert refused_at(policy)[0].startswith("reactions[0]")
        return
    values = _policy_file.parse(policy, SEGMENTS, DOMAINS).values
    assert values.keys() == defaults().keys()
    assert _policy_file.parse(values, SEGMENTS, DOMAINS).values == values


@examples(300)
@given(st.sampled_from([place for place in PLACES if isinstance(place[-1], str)]), st.integers())
def test_a_number_is_kept_as_it_is_or_refused_never_clamped(place: Place, number: int) -> None:
    def replace(holder: Json, key: str) -> None:
        if kind(holder[key]) is int:
            holder[key] = number

    policy = changed(place, replace)
    try:
        values = _policy_file.parse(policy, SEGMENTS, DOMAINS).values
    except ConfigError as error:
        assert dotted(place) in error.message  # noqa: PT017 - either outcome is right, for its own reason
        return
    for key in place:
        policy, values = policy[key], values[key]
    assert isinstance(policy, (dict, list)) or policy == values
