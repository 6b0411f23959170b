# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may stand in the policy file, and what holds where it says nothing. PRIVATE: may change at any time.

One JSON Schema (2020-12) is the only place for names, types, bounds, units and defaults of the policy: the check, the
defaults, docs/ha_policy.schema.json and the tables of docs/policy.md are made from it. ``unit`` is an annotation.
"""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._ha_words import LONGEST, METHODS, OTHERWISE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._restart_order import READINESS

Json = t.Dict[str, t.Any]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"


def _number(description: str, unit: str | None, default: int, minimum: int, maximum: int) -> Json:
    bounds = {"minimum": minimum, "maximum": maximum}
    measured = {"unit": unit} if unit else {}
    return {"description": description, "type": "integer", **measured, "default": default, **bounds}


def _seconds(description: str, default: int, minimum: int, maximum: int) -> Json:
    return _number(description, "seconds", default, minimum, maximum)


def _percent(description: str, default: int) -> Json:
    return _number(description, "percent", default, 1, 100)


def _text(description: str) -> Json:
    return {"description": description, "type": "string", "minLength": 1}


def _choice(description: str, default: str | None, *choices: str) -> Json:
    found: Json = {"description": description, "type": "string", "enum": list(choices)}
    return found if default is None else {**found, "default": default}


def _strings(description: str) -> Json:
    return {
        "description": description,
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "uniqueItems": True,
        "default": [],
    }


def _section(description: str, **keys: Json) -> Json:
    """A mapping whose keys are fixed."""
    return {"description": description, "type": "object", "additionalProperties": False, "properties": keys}


def _named(description: str, each: Json) -> Json:
    """A mapping whose keys are names that the operator gives."""
    return {
        "description": description,
        "type": "object",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": each,
        "default": {},
    }


def _unset(section: Json) -> Json:
    """The same keys without defaults: what is not given comes from elsewhere in the policy."""
    keys = {key: {word: it for word, it in schema.items() if word != "default"} for key, schema in _keys(section)}
    return {**section, "properties": keys}


def _keys(section: Json) -> t.ItemsView[str, Json]:
    return t.cast("dict[str, Json]", section["properties"]).items()


def _caps(description: str) -> Json:
    return _section(
        description,
        at_once=_number("Hosts failed or being recovered at the same time.", "hosts", 1, 1, 10000),
        at_once_percent=_percent(
            "The same as a share of the hosts there; both caps hold, and less than one host counts as one.", 100
        ),
        per_hour=_number("Hosts powered off within the last hour.", "hosts", 3, 1, 10000),
    )


_REACTIONS: Json = {
    "type": ["array", "null"],
    "items": {
        **_section(
            "One rule. It fits when all of `lost` are lost and all of `alive` are alive.",
            lost=_strings("Networks that are lost."),
            alive=_strings("Networks that are alive."),
            reaction=_choice(
                "`recover`: fence the host and recover its VMs; `migrate`: live-migrate them away; `alert`: tell the "
                "operators; `ignore`: record it and do nothing; `ask`: a person decides.",
                None,
                "recover",
                "migrate",
                "alert",
                "ignore",
                "ask",
            ),
        ),
        "required": ["reaction"],
    },
}

_GATES = _section(
    "What stands between a silent host and its power button; docs/gates.md has the whole table.",
    planned=_choice(
        "A host that an operator had disabled before it went down: `ask` a person, `ignore` it, or `alert`.",
        "ask",
        "ask",
        "ignore",
        "alert",
    ),
    witnesses=_section(
        "Who must say that a host is down.",
        needed=_number("Independent witnesses that say it is down.", "witnesses", 2, 2, 10),
        required=_strings("Witnesses that must be among them, by name."),
        ask_after=_seconds("How long the responder waits for them before it asks a person.", 300, 0, _DAY),
    ),
    start_grace=_seconds("How long a responder watches before it decides anything.", 60, 0, _HOUR),
    power_restored=_section(
        "After a power failure of the site, hosts are late, not dead.",
        percent=_percent("Hosts that came back at about the same time, as a share of all.", 50),
        within=_seconds("How long after their return the others are given to come back.", 1200, 0, _DAY),
    ),
    kdump=_section(
        "A host that writes its crash dump is left alone.",
        timeout=_seconds("From the first kdump message on, at the longest.", 300, 1, _HOUR),
        # Twice the interval of fence_kdump_send, 10 s unless its option -i says otherwise, and some.
        quiet=_seconds(
            "No kdump message for so long means that the dump is done. Less than `timeout`, and more than the interval "
            "at which the crash kernel sends.",
            25,
            1,
            600,
        ),
    ),
    flapping=_section(
        "A host that fails again and again is left to a person.",
        recoveries=_number("So many recoveries of a host are too many.", "recoveries", 3, 1, 1000),
        within=_seconds("Recoveries longer ago do not count.", _DAY, _MINUTE, 30 * _DAY),
    ),
    fence_ready=_section(
        "Whether fencing is known to work.",
        max_age=_seconds("A result of `fence_check` older than that is stale.", 2 * _DAY, _MINUTE, 90 * _DAY),
    ),
    mass_silence=_section(
        "Too many silent hosts at once: a failure of something else. At least `hosts` and at least `percent`, of the "
        "whole cloud or of one segment.",
        hosts=_number("Silent hosts.", "hosts", 3, 2, 10000),
        percent=_percent("Silent hosts as a share of all.", 30),
        ask_after=_seconds("A storm that lasts longer leads to a question, never to fencing.", 600, 0, _DAY),
    ),
    cool_down=_seconds("How long nothing is fenced after a storm has ended.", 300, 0, _DAY),
)

_BUDGETS = _section(
    "How many hosts may be recovered without asking. Every cap holds.",
    cloud=_caps("In the whole cloud."),
    segment=_caps("In each failover segment."),
    failure_domain=_caps("In each failure domain."),
    segments=_named(
        "Other caps for single segments; a key that is not given is as in `budgets.segment`.",
        _unset(_caps("Caps of this segment.")),
    ),
    failure_domains=_named(
        "Other caps for single failure domains; a key that is not given is as in `budgets.failure_domain`.",
        _unset(_caps("Caps of this failure domain.")),
    ),
)

_GROUP: Json = {"type": "string", "pattern": _NAME, "maxLength": 64, "expected": "the name of a group"}

#: The port, whether the task exists: :mod:`_restart_order`.
_READY: Json = {"type": "string", "minLength": 1, "expected": READINESS}

#: What may be said of VMs at any level. Nothing has a default: what is not said is decided by a coarser level.
_WORDS: Json = {
    "protect": {"description": "Whether they are recovered.", "type": "boolean"},
    "method": _choice(
        "`evacuate`; `rebuild`: the same, and local disks may be lost; `restart`: they wait for their host; `notify`: "
        "their owner rescues them; `heat`: their stack does; `none`.",
        None,
        *METHODS,
    ),
    "priority": {
        "description": "Priority class; higher ones first.",
        "type": "integer",
        "minimum": 0,
        "maximum": 1000,
    },
    "group": {**_GROUP, "description": "Restart group that they are in."},
    "after": {
        "description": "Restart groups that are started before them.",
        "type": "array",
        "items": _GROUP,
        "uniqueItems": True,
    },
    "ready": {**_READY, "description": "When one of them counts as ready."},
    "local_disk_loss": {
        "description": "Whether data on local disks may be lost. Decides instead of the segment.",
        "type": "boolean",
    },
    "deadline": {
        "description": "`notify`: how long the owner has.",
        "type": "number",
        "unit": "seconds",
        "minimum": 0,
        "maximum": LONGEST,
    },
    "otherwise": _choice("`notify`: the method after the deadline.", None, *OTHERWISE),
}


def _rules(what: str, **more: Json) -> Json:
    """Rules by the name of what they are about. Names of OpenStack may be any text."""
    rule = {"$comment": "like vms", **_section(f"What holds for VMs of this {what}.", **more, **_WORDS)}
    return {
        "description": f"Rules for {what}s, by name.",
        "type": "object",
        "additionalProperties": rule,
        "default": {},
    }


_WHEN = "JMESPath over the facts of a VM; picks those for which the result is neither false nor empty."

#: VMs that another service brings back itself, and that come back broken, or twice, when somebody else does.
EXCLUDED: Json = {
    "octavia": {
        # The name is made by octavia/controller/worker/v2/tasks/compute_tasks.py, the tag is that of
        # https://docs.openstack.org/octavia/latest/admin/amphora-image-build.html; metadata it sets none.
        "when": "starts_with(name, 'amphora-') || image.tags[?@ == 'amphora']",
        "because": "Octavia replaces amphorae itself",
        "enabled": True,
    }
}

_HA = _section(
    "Which VMs are recovered, how, and in which order; docs/ha_policy.md explains it.",
    presets={
        "description": "Marks of other tools that are understood: Masakari's `HA_Enabled`, Red Hat's `evacuable`.",
        "type": "array",
        "items": {"type": "string", "enum": ["masakari", "redhat"]},
        "uniqueItems": True,
        "default": ["masakari"],
    },
    owners_decide={
        "description": "What metadata and tags of VMs, and marks on images that are not public, may decide. The rest "
        "is for operators to say.",
        "type": "array",
        "items": {"type": "string", "enum": list(_WORDS)},
        "uniqueItems": True,
        "default": list(_WORDS),
    },
    regions=_rules("region"),
    cells=_rules(
        "cell",
        segments=_strings("Failover segments that are in it. Nova's API tells nobody what is."),
        zones=_strings("Availability zones that are in it."),
        aggregates=_strings("Aggregates that are in it."),
    ),
    zones=_rules("zone"),
    aggregates=_rules("aggregate"),
    projects=_rules("project"),
    flavors=_rules("flavor"),
    images=_rules("image"),
    exclude=_named(
        "VMs that are left to the service that made them, unless a rule or the VM itself says otherwise. "
        "Entries of the default list stay unless they are disabled by name.",
        _section(
            "One kind of VMs.",
            when=_text(_WHEN),
            because=_text("Why they are left alone, as it is told."),
            enabled={"description": "False: as if it were not there.", "type": "boolean", "default": True},
        ),
    ),
    vms={
        "description": "Rules for VMs that a selector picks. They are all at one level: none goes before another.",
        "type": "array",
        "items": {
            **_section(
                "One rule.",
                name=_text("How it is called where it is told of."),
                when=_text(_WHEN),
                **_WORDS,
            ),
            "required": ["when"],
        },
        "default": [],
    },
)
_HA["properties"]["exclude"]["default"] = EXCLUDED

_NETWORKS = _named(
    "The networks whose loss is told apart, by the names that monitors use. None: network losses are not looked at.",
    _section(
        "One network.",
        cidrs=_strings("Its address ranges, as 192.0.2.0/24."),
        isolation_addresses=_strings(
            "What answers on it as long as the network lives, as tcp://192.0.2.1:3260. Who cannot reach any of them "
            "is cut off itself, and decides nothing."
        ),
    ),
)

_SEGMENTS = _named(
    "What is different in single failover segments.",
    _section(
        "One segment.",
        networks={
            **_strings("The networks that its hosts have. Not given: all of `networks`."),
            "type": ["array", "null"],
            "default": None,
        },
        reactions={
            **_REACTIONS,
            "description": "Its own table instead of the one in `reactions`. Not given: that one.",
            "default": None,
        },
    ),
)

_THEN = _choice(
    "What follows where restarts did not help: `alert`, a person decides; `migrate`, the protected VMs of the host are "
    "moved away alive; `recover`, the gates are asked whether it is to be fenced and recovered, and no person vouches.",
    "alert",
    "alert",
    "migrate",
    "recover",
)

_PROCESSES = _section(
    "What follows when a service of a compute host fails and restarts by its monitor did not help; docs/processes.md.",
    then=_THEN,
    disable={
        "description": "Whether nova-compute of the host is disabled, so that nothing new is scheduled there.",
        "type": "boolean",
        "default": True,
    },
    units=_named(
        "What is different for single units, by their names as `nova-compute.service`; a key that is not given is as "
        "above.",
        _unset(
            _section(
                "One unit.",
                then=_THEN,
                disable={"description": "Whether nova-compute of the host is disabled.", "type": "boolean"},
            )
        ),
    ),
    restart=_section(
        "A last restart by the playbook, over SSH to the address that the inventory has for the host.",
        over_ssh={
            "description": "Whether it is tried. Without it the restarts by the monitor are all there are.",
            "type": "boolean",
            "default": False,
        },
        settle=_seconds("How long the unit must run after it to count as well.", 20, 1, 600),
    ),
    healthy_for=_seconds(
        "How long the service must be well before a host that was disabled for it is enabled again.", 300, 0, _DAY
    ),
    at_once=_number(
        "Hosts out of service for their services at the same time; for more, people are told and nothing is done.",
        "hosts",
        3,
        1,
        10000,
    ),
    at_once_percent=_percent("The same as a share of the hosts; less than one host counts as one.", 20),
)

_DRAIN = _section(
    "How the VMs of a host that lives are moved away alive; docs/networks.md.",
    vms=_choice("Which ones: those that the policy protects, or all.", "protected", "protected", "all"),
    parallel=_number(
        "Moved at once. What exceeds `max_concurrent_live_migrations` of nova-compute (1 by default) waits there for "
        "its turn, and must be looked at by hand if the host dies.",
        "VMs",
        2,
        1,
        1000,
    ),
    per_target=_number("Moved at once to one target host.", "VMs", 2, 1, 1000),
    vm_timeout=_seconds("After so long a live migration is aborted.", 900, 10, _DAY),
    fallback=_choice(
        "What follows where a running VM cannot be moved alive: `none`, it stays where it is; `cold_migrate`, it is "
        "shut down, moved and started again.",
        "none",
        "none",
        "cold_migrate",
    ),
    powered_off=_choice(
        "VMs that are powered off: `leave` them, or `cold_migrate` them.", "leave", "leave", "cold_migrate"
    ),
)

_TROUBLE = ("recover", "alert", "ignore")

_INSTANCES = _section(
    "What follows when a VM fails on a host that lives; docs/instances.md.",
    types=_section(
        "By what its monitor says: `recover` it, `alert` the operators, or `ignore` it.",
        crashed=_choice("Its QEMU process ended unexpectedly.", "recover", *_TROUBLE),
        stopped=_choice("Found off after a restart of its host, and it ran before.", "recover", *_TROUBLE),
        panicked=_choice("Its operating system crashed.", "recover", *_TROUBLE),
        io_error=_choice("It is paused because of an I/O error.", "recover", *_TROUBLE),
        watchdog=_choice("Its watchdog fired; see `watchdog`.", "recover", *_TROUBLE),
        guest_silent=_choice("Its guest agent does not answer any more.", "recover", *_TROUBLE),
        paused=_choice("Left paused by a command or migration that failed.", "alert", *_TROUBLE),
    ),
    watchdog=_section(
        "A watchdog that fired, by the action that the hypervisor has taken.",
        reset=_choice("It was reset.", "ignore", *_TROUBLE),
        poweroff=_choice("It was powered off, or shut down.", "alert", *_TROUBLE),
        pause=_choice("It is paused.", "recover", *_TROUBLE),
        none=_choice("Nothing was done, or an interrupt was sent.", "alert", *_TROUBLE),
        wait=_seconds(
            "How long a VM whose guest agent is silent is left to its watchdog, if that resets it or powers it off.",
            60,
            0,
            _HOUR,
        ),
    ),
    locked=_choice("VMs that somebody has locked.", "alert", *_TROUBLE),
    resume_wait=_seconds(
        "How long a VM that is paused because of an I/O error is left to its monitor, which resumes it.", 120, 0, _HOUR
    ),
    tries=_number("Restarts on the same host within `within`.", "restarts", 3, 0, 100),
    within=_seconds("Recoveries of a VM longer ago do not count.", _HOUR, _MINUTE, 30 * _DAY),
    back_off=_seconds("From one recovery to the next; it doubles each time.", 15, 0, _HOUR),
    back_off_most=_seconds("The longest such time.", 600, 0, _DAY),
    then=_choice(
        "When restarts on its host do not help: it goes `elsewhere` in its segment, or people are told.",
        "elsewhere",
        "elsewhere",
        "alert",
    ),
    elsewhere=_section(
        "How it goes to another host, once it is proven to be off.",
        how=_choice(
            "`cold_migrate`, or `shelve` and unshelve it there (API 2.91), which needs no way from host to host.",
            "cold_migrate",
            "cold_migrate",
            "shelve",
        ),
        tries=_number("Moves within `within`.", "moves", 1, 1, 100),
    ),
    parallel=_number("VMs that one run works on at once.", "VMs", 20, 1, 1000),
    hard_reboot=_choice(
        "Which VMs are not asked to shut down first: those that `hang` (panicked, watchdog, guest_silent, io_error) or "
        "`none`, which costs these the time that Nova gives a VM to shut down.",
        "hang",
        "hang",
        "none",
    ),
    stop_timeout=_seconds("A stop that takes longer is followed by a hard reboot.", 150, 1, _HOUR),
    start_timeout=_seconds("A start that takes longer has failed.", 300, 1, _HOUR),
    move_timeout=_seconds("A move that takes longer is reported and left to Nova.", 1800, 10, _DAY),
    view_timeout=_seconds(
        "How long the word of its monitor is waited for: that it runs again, or that it is off. More than the "
        "interval at which monitors repeat themselves.",
        90,
        1,
        _HOUR,
    ),
    stable=_seconds("How long it must stay up to count as recovered.", 10, 0, _HOUR),
    storage_suspect=_section(
        "So many VMs of a host with I/O errors at the same time are a failure of its path to the storage.",
        vms=_number("VMs, at least.", "VMs", 3, 2, 10000),
        percent=_percent("As a share of the VMs of the host; both must be reached.", 50),
    ),
)

#: Phases in which the claims of the run are held while the hook works: with time left of any usual lease.
_SHORT, _LONG = 40, _HOUR


def _hook(when: str, most: int) -> Json:
    return _section(
        when,
        files={
            **_strings("Task files, in this order; absolute paths on the machine that the recovery runs on."),
            "items": {"type": "string", "pattern": r"^/.+[.]ya?ml$"},
        },
        timeout=_seconds("How long the phase may take, all files together.", 20, 1, most),
        on_error=_choice(
            "What a hook that fails or takes too long leads to: `continue`: it is told, and the recovery goes on; "
            "`stop`: what has not been begun is left undone, see docs/hooks.md.",
            "continue",
            "continue",
            "stop",
        ),
    )


_HOOKS = _section(
    "Task files of your own, run in the recovery of hosts; docs/hooks.md tells what they get.",
    before_fence=_hook("Before anything is done to a host that is to be recovered.", _SHORT),
    after_fence=_hook("After a host was fenced, before anything of it is evacuated.", _SHORT),
    before_evacuate=_hook("Once all are fenced and planned for.", _SHORT),
    after_verify=_hook("After the run was closed, when all of it was recovered.", _LONG),
    on_failure=_hook("After the run was closed, when not all of it was recovered.", _LONG),
)

_RESTART = _section(
    "Which VM is started after which; docs/restart_order.md.",
    tiers={
        "description": "The lowest priority class of each tier. VMs of a tier are started when those of all higher "
        "tiers are ready. None: the priority is only the order in which VMs are asked for.",
        "type": "array",
        "items": {"type": "integer", "minimum": 0, "maximum": 1000},
        "uniqueItems": True,
        "default": [],
    },
    tier_timeout=_seconds(
        "The longest time that VMs wait for a tier or a group, from the moment its own turn came. Then they are "
        "started, and the report says so.",
        600,
        0,
        _DAY,
    ),
    ready={**_READY, "description": "When a VM that says nothing itself counts as ready.", "default": "active"},
    groups=_named(
        "Restart groups, and what holds for their VMs that say nothing themselves.",
        _section(
            "One group.",
            after=_strings("Groups that are started before it."),
            ready={**_READY, "description": "When a VM of it counts as ready. Not given: as `ready`."},
            shared={
                "description": "Whether the VMs of all projects that say that they are in it are one group. "
                "Otherwise each project has its own.",
                "type": "boolean",
                "default": False,
            },
        ),
    ),
    probe_networks=_strings(
        "Address ranges, as 192.0.2.0/24, in which VMs are probed by `tcp` and `http`. A VM that has no address there "
        "is never ready in that way: its owner chooses its addresses."
    ),
    tasks=_named(
        "What `ready: task:NAME` asks.",
        {
            **_section(
                "One task.",
                url={
                    "description": "Asked with GET until it answers 200 to 299; `{id}`, `{name}`, `{project}` and "
                    "`{host}` in it stand for the VM.",
                    "type": "string",
                    "pattern": r"^https?://[^\s/]+\S*$",
                    "expected": "an http or https URL",
                },
            ),
            "required": ["url"],
        },
    ),
)

SCHEMA: Json = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "ha_policy.yml of the Ansible collection openstack_ha.recovery",
    **_section(
        "What may be recovered without asking, and what happens instead. Every key may be left out.",
        gates=_GATES,
        budgets=_BUDGETS,
        networks=_NETWORKS,
        reactions={
            **_REACTIONS,
            "description": "What follows from the loss of networks; the first rule that fits wins. "
            "Not given: the default table.",
            "default": None,
        },
        segments=_SEGMENTS,
        ask=_section(
            "Questions to a person.",
            wait=_seconds("How long an answer is waited for before `default` is done.", 0, 0, _DAY),
            default=_choice(
                "What is done when nobody answers. `recover` only where this key says so.", "hold", "hold", "recover"
            ),
            answer_valid=_seconds("How long an answer may be used after it was given.", 900, 1, _DAY),
        ),
        restart=_RESTART,
        instances=_INSTANCES,
        processes=_PROCESSES,
        drain=_DRAIN,
        hooks=_HOOKS,
        ha=_HA,
        vms=_section(
            "VMs of segments that say nothing themselves.",
            protect={
                "description": "Whether VMs that say nothing themselves are recovered.",
                "type": "boolean",
                "default": True,
            },
            priority=_number(
                "Priority class of VMs that say nothing themselves; higher ones first.", None, 500, 0, 1000
            ),
        ),
    ),
}


def defaults() -> Json:
    """The complete policy that holds where there is no policy file; a new copy on each call."""
    return t.cast(Json, filled(SCHEMA, {}))


def filled(schema: Json, given: t.Any) -> t.Any:
    """A copy of what is given, valid by the schema, with the defaults of what is not."""
    if isinstance(given, dict) and "properties" in schema:
        present = {key: it for key, it in schema["properties"].items() if key in given or not _optional(it)}
        return {key: filled(it, given[key]) if key in given else _default_of(it) for key, it in present.items()}
    if isinstance(given, dict):
        return {name: filled(schema["additionalProperties"], it) for name, it in given.items()}
    if isinstance(given, list):
        return [filled(schema["items"], it) for it in given]
    return given


def _optional(schema: Json) -> bool:
    """Whether it is simply missing where it is not given."""
    return "default" not in schema and "properties" not in schema


def _default_of(schema: Json) -> t.Any:
    return copy.deepcopy(schema["default"]) if "default" in schema else filled(schema, {})
