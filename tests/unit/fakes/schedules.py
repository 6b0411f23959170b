"""Random stories for the simulator: clouds, faults, operators, in the language of ``stories/``."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml
from hypothesis import strategies as st

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import given as givens
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.story import Moment, Story

Json = t.Dict[str, t.Any]
Draw = t.Callable[..., t.Any]

#: When the first fault may come: controllers have watched long enough by then.
CALM = 65
_AFTER = 130
#: Around the half minute of silence after which something is done, and within it.
_PAUSES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 20.0, 26.0, 28.0, 29.0, 30.0, 31.0, 33.0, 36.0, 55.0)
_NETWORKS = ("admin", "storage", "tenant", "bmc")
_BMCS = ("slow", "lying", "deaf", "unreachable", "locked", "same_power", "objects", "very_slow")
_GROUPS = ("one", "two")
_STATES = ("active", "stopped", "error", "paused", "suspended", "rescued")
_LEVELS = ([["bmc"]], [["bmc"], ["pdu"]], [["bmc", "pdu"]], [["bmc"], ["operator"]], [["operator"]])
_STEPS = (
    "claimed", "forced_down", "fencing", "fenced", "reserved_taken", "planned", "requesting", "requested", "landed",
    "started", "verified", "evacuated",
)  # fmt: skip
_ENDS = (
    "slow", "very_slow", "no_host", "breaks", "lost", "times_out", "is_lost", "never", "is_refused", "errs",
    "is_unavailable",
)  # fmt: skip
_DOMAINS = ("pdu-a", "pdu-b")


def story(given: Json, timeline: t.Sequence[Json], name: str = "random") -> Story:
    """What would be read from these files."""
    moments = []
    for number, entry in enumerate(timeline):
        [(event, what)] = [(key, value) for key, value in entry.items() if key != "at"]
        moments.append(Moment(float(entry["at"]), event, what, f"timeline[{number}].{event}"))
    return Story(name, Path(name), [], givens.read(given), moments)


def text(given: Json, timeline: t.Sequence[Json]) -> str:
    """Both files, to make a story of a falsifying example."""
    return "\n".join(yaml.safe_dump(part, sort_keys=False, default_flow_style=None) for part in (given, list(timeline)))


@st.composite
def schedules(draw: Draw) -> tuple[Json, list[Json]]:
    """A cloud, and what happens in it."""
    given = draw(clouds())
    timeline = draw(timelines(given))
    given["lasts"] = int(timeline[-1]["at"] + _AFTER)
    return given, timeline


@st.composite
def clouds(draw: Draw) -> Json:
    """``given.yml``."""
    segments: Json = {}
    for number in range(1, draw(st.integers(1, 3)) + 1):
        segments[f"rack{number}"] = draw(_segments())
    hosts = list(givens.read({"segments": segments}).hosts)
    given: Json = {"segments": segments, "controllers": draw(st.integers(1, 3))}
    special = draw(st.dictionaries(st.sampled_from(hosts), _special(hosts), max_size=2))
    vms = draw(st.lists(_vms(hosts), max_size=3))
    policy = draw(_policies())
    if special:
        given["hosts"] = special
    if vms:
        given["vms"] = {f"vm{number}": vm for number, vm in enumerate(vms, 1)}
    if policy:
        given["policy"] = policy
    if draw(_rarely):
        given["monitors"] = False
    if draw(st.booleans()):
        given["limits"] = {"parallel": draw(st.integers(1, 3))}
    return given


@st.composite
def timelines(draw: Draw, given: Json) -> list[Json]:
    """``timeline.yml``: one fault most of the time, and what happens while it is dealt with."""
    cast = Cast(given)
    victims = draw(st.lists(st.sampled_from(cast.hosts), min_size=1, max_size=3, unique=True))
    at = float(CALM)
    events: list[Json] = []
    if draw(_seldom):
        events += draw(_crashes(cast))
    if draw(_mostly):
        events.append({"at": at, draw(st.sampled_from(("hang", "die", "crash"))): victims[0]})
        at += draw(st.sampled_from(_PAUSES))
    for _number in range(draw(st.integers(0 if events else 1, 8))):
        events.append({"at": at, **draw(_events(cast, victims))})
        at += draw(st.sampled_from(_PAUSES))
    return sorted(events, key=lambda event: float(event["at"]))


@st.composite
def _crashes(draw: Draw, cast: Cast) -> list[Json]:
    """A controller is killed as soon as a run of it has got somewhere, and may start again."""
    who = draw(st.sampled_from(cast.controllers))
    crash = {"at": CALM - 1.0, "controller_dies_at": {"controller": who, "step": draw(st.sampled_from(_STEPS))}}
    again = {"at": CALM + draw(st.sampled_from((30.0, 40.0, 60.0, 95.0))), "controller_starts": who}
    return [crash, again] if draw(st.booleans()) else [crash]


class Cast:
    """Who takes part."""

    def __init__(self, given: Json) -> None:
        read = givens.read(given)
        self.hosts = list(read.hosts)
        self.segments = list(read.segments)
        self.domains = sorted({host.domain for host in read.hosts.values() if host.domain})
        self.controllers = read.controllers
        self.networks = [name for name in _NETWORKS if name in (*read.networks, "bmc")]
        self.vms = {
            name: [f"{name}-vm{number}" for number in range(1, host.vms + 1)]
            + [vm for vm, settings in read.vms.items() if settings["host"] == name]
            for name, host in read.hosts.items()
        }


_rarely = st.sampled_from((False,) * 7 + (True,))
_mostly = st.sampled_from((True,) * 3 + (False,))
_seldom = st.sampled_from((False,) * 3 + (True,))


@st.composite
def _segments(draw: Draw) -> Json:
    hosts = draw(st.integers(1, 4))
    segment: Json = {"hosts": hosts, "vms": draw(st.integers(0, 3))}
    if hosts > 1 and draw(_seldom):
        segment["reserved"] = 1
        segment["recovery_method"] = draw(st.sampled_from(("auto", "reserved_host", "auto_priority", "rh_priority")))
    if draw(_seldom):
        segment["room"] = draw(st.integers(3, 6))
    if draw(_seldom):
        segment["domain"] = draw(st.sampled_from(_DOMAINS))
    if draw(_seldom):
        segment["fencing"] = draw(st.sampled_from(_LEVELS))
    if draw(_rarely):
        segment["shared_storage"] = False
    return segment


@st.composite
def _special(draw: Draw, hosts: list[str]) -> Json:
    found: Json = {"bmc": draw(st.sampled_from(_BMCS))}
    if draw(_seldom):
        found["fencing"] = draw(st.sampled_from(_LEVELS))
    if draw(_rarely):
        found["probe"] = False
    if draw(_rarely):
        found.update(bmc=draw(st.sampled_from(("wrong", "wrong_mute"))), switches=draw(st.sampled_from(hosts)))
    return found


@st.composite
def _vms(draw: Draw, hosts: list[str]) -> Json:
    vm: Json = {"host": draw(st.sampled_from(hosts)), "state": draw(st.sampled_from(_STATES))}
    if draw(_seldom):
        vm["metadata"] = {"openstack_ha:priority": str(draw(st.integers(1, 999)))}
    if draw(_rarely):
        vm["local_disk"] = True
    if draw(_seldom):
        said = {"group": draw(st.sampled_from(_GROUPS)), "after": draw(st.sampled_from(_GROUPS)), "ready": "http:80"}
        chosen = draw(st.sets(st.sampled_from(sorted(said)), min_size=1))
        vm["metadata"] = {**vm.get("metadata", {}), **{f"openstack_ha:{key}": said[key] for key in sorted(chosen)}}
    return vm


@st.composite
def _policies(draw: Draw) -> Json:
    """Most clouds have none."""
    if draw(st.booleans()):
        return {}
    policy: Json = {}
    if draw(st.booleans()):
        caps = {"at_once": draw(st.integers(1, 3)), "per_hour": draw(st.integers(1, 5))}
        policy["budgets"] = {"cloud": caps, "segment": dict(caps), "failure_domain": dict(caps)}
    gates: Json = {}
    if draw(_seldom):
        gates["mass_silence"] = {"hosts": draw(st.integers(2, 4)), "percent": 30, "ask_after": 60}
    if draw(_seldom):
        gates["witnesses"] = {"needed": draw(st.integers(2, 3)), "ask_after": 60}
    if draw(_seldom):
        gates["cool_down"] = draw(st.sampled_from((0, 30)))
    if gates:
        policy["gates"] = gates
    if draw(_seldom):
        policy["networks"] = {
            "admin": {"cidrs": ["10.0.1.0/24"], "isolation_addresses": ["tcp://10.0.1.1:80"]},
            "storage": {"cidrs": ["10.0.2.0/24"], "isolation_addresses": ["tcp://10.0.2.1:3260"]},
        }
    return policy


@st.composite
def _events(draw: Draw, cast: Cast, victims: list[str]) -> Json:
    """One event; ``die`` and other faults of hosts often, others now and then."""
    kind = draw(st.sampled_from(_WEIGHTED if not cast.domains else (*_WEIGHTED, *_POWER * 3)))
    return {kind: draw(_KINDS[kind](cast, victims))}


def _victim(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    return st.sampled_from(victims)


def _many(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    """Mostly those that the story is about."""
    wider: list[t.Any] = ["all", {"percent": 50}, *({"segment": name} for name in cast.segments)]
    return st.sampled_from([*victims, *victims, *victims, *wider, victims])


def _controller(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    return st.sampled_from(cast.controllers)


def _cut(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    networks = st.lists(st.sampled_from(cast.networks), min_size=1, max_size=3, unique=True)
    some = st.fixed_dictionaries({"hosts": _many(cast, victims), "networks": networks})
    own = st.fixed_dictionaries({"controllers": _controller(cast, victims), "networks": networks})
    together = st.fixed_dictionaries({"hosts": st.just(victims), "networks": networks, "together": st.just(True)})
    return some | own | together


def _heal(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    everything = {"hosts": "all", "controllers": list(cast.controllers)}
    return st.sampled_from(({"hosts": victims}, {"controllers": list(cast.controllers)}, everything))


def _bmc(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    return st.fixed_dictionaries({"hosts": _victim(cast, victims), "is": st.sampled_from((*_BMCS, "normal"))})


def _evacuations(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    vms = [vm for host in victims for vm in cast.vms[host]] or [vm for found in cast.vms.values() for vm in found]
    if not vms:
        return st.just({"vms": [], "end": "no_host"})
    return st.fixed_dictionaries(
        {
            "vms": st.lists(st.sampled_from(vms), min_size=1, max_size=3, unique=True),
            "end": st.sampled_from(_ENDS),
            "times": st.integers(1, 3),
        }
    )


def _deleted(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    vms = [vm for host in victims for vm in cast.vms[host]] or [vm for found in cast.vms.values() for vm in found]
    return st.sampled_from([[vm] for vm in vms] or [[]])


def _scope(cast: Cast, victims: list[str]) -> st.SearchStrategy[Json]:
    scopes = [{"scope": "cloud"}, *({"scope": "segment", "name": name} for name in cast.segments)]
    scopes += [{"scope": "host", "name": name} for name in victims]
    return st.sampled_from(scopes)


def _order(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    def lasting(scope: Json) -> st.SearchStrategy[Json]:
        return st.sampled_from(({**scope}, {**scope, "for": 30}, {**scope, "for": 3600}))

    return _scope(cast, victims).flatmap(lasting)


def _budget(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    return st.integers(2, 6).map(lambda number: {"scope": "cloud", "at_once": number})


def _recover(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    base = {"hosts": _victim(cast, victims), "controller": _controller(cast, victims)}
    answers = {"answer": st.sampled_from(("recover", "hold"))}
    return st.fixed_dictionaries(base) | st.fixed_dictionaries({**base, **answers})


def _one(*words: t.Any) -> t.Callable[[Cast, list[str]], st.SearchStrategy[t.Any]]:
    return lambda cast, victims: st.sampled_from(words)


def _power(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    return st.sampled_from(cast.domains)


def _answer(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    return st.fixed_dictionaries({"hosts": st.just(victims), "verdict": st.sampled_from(("recover", "hold"))})


def _jump(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    by = st.sampled_from((-3600, -30, 30, 3600))
    return st.fixed_dictionaries({"controller": _controller(cast, victims), "by": by})


def _late(cast: Cast, victims: list[str]) -> st.SearchStrategy[t.Any]:
    return st.fixed_dictionaries({"controller": _controller(cast, victims), "by": st.sampled_from((0, 10, 25, 50))})


_KINDS: dict[str, t.Callable[[Cast, list[str]], st.SearchStrategy[t.Any]]] = {
    "die": _many,
    "hang": _many,
    "go_on": _many,
    "crash": _many,
    "boot": _many,
    "agent_stops": _many,
    "agent_starts": _many,
    "monitor_stops": _many,
    "bus_fails": _many,
    "bus_heals": _many,
    "cut": _cut,
    "heal": _heal,
    "control_plane": _one({"nova-conductor": "down"}, {"nova-scheduler": "down"}, {"nova-conductor": "up"}),
    "api": _one("down", "up"),
    "nova_clock_jumps": _one(-3600, 50, 3600),
    "bmc": _bmc,
    "evacuations": _evacuations,
    "pause": _order,
    "disarm": _order,
    "budget": _budget,
    "resume": _one("all", {"kind": "pause"}),
    "answer": _answer,
    "recover": _recover,
    "disable": _many,
    "enable": _victim,
    "controller_dies": _controller,
    "controller_starts": _controller,
    "controller_reboots": _controller,
    "clock_jumps": _jump,
    "delete": _deleted,
    "unready": _deleted,
    "ready": _deleted,
    "fence_check": _many,
    "monitor_starts": _many,
    "signals_late": _late,
    "controller_freezes": _controller,
    "controller_thaws": _controller,
    "power_loss": _power,
    "power_back": _power,
}
_POWER = ("power_loss", "power_back")

#: Hypothesis shrinks towards the first.
_WEIGHTED = (
    *("die",) * 8, *("hang",) * 4, *("cut",) * 5, *("boot",) * 3, *("go_on",) * 3, *("heal",) * 2, *("bmc",) * 2,
    *("evacuations",) * 3, *("controller_dies",) * 3, *("controller_starts",) * 2,
    *("controller_freezes", "controller_thaws") * 2,
    *(kind for kind in _KINDS if kind not in ("die", "hang", "cut", *_POWER)),
)  # fmt: skip
