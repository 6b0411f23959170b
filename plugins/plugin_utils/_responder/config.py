# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""responder.yml: what may stand in it, and what holds where it says nothing. PRIVATE: may change at any time.

One JSON Schema (2020-12) is the only place for names, types, bounds, units and defaults; the check and the docs page
are made from it. It holds no secrets, only the names of files that do.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _config
from ansible_collections.openstack_ha.recovery.plugins.module_utils._configuration import contents
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import filled
from ansible_collections.openstack_ha.recovery.plugins.module_utils._schema import check

Json = dict[str, t.Any]

INTAKE_PORT, HEARTBEAT_PORT, KDUMP_PORT = 7411, 7412, 7410
#: The interface of clouds.yaml that is used, and how; credentials stand in clouds.yaml alone.
CLOUD_KEYS = ("cloud", "region_name", "interface", "validate_certs", "ca_cert", "api_timeout")

#: The ways to tell.
CHANNELS = ("webhooks", "mail", "bus")

_DAY = 86400
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
_MAILBOX = r"^[^@\s,<>]+@[^@\s,<>]+$"
_NAME_WORDS = "a name of letters, digits, '_', '-' and '.'"
_ADDRESS = r"^(\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]+):[0-9]{1,5}$"


def _section(description: str, **keys: Json) -> Json:
    return {"description": description, "type": "object", "additionalProperties": False, "properties": keys}


def _string(description: str, default: str | None = None) -> Json:
    return {"description": description, "type": ["string", "null"], "minLength": 1, "default": default}


def _needed(description: str, **more: t.Any) -> Json:
    return {"description": description, "type": "string", "minLength": 1, **more}


def _file(description: str) -> Json:
    return _needed(description, pattern="^/", expected="an absolute path")


def _path(description: str, default: str | None = None) -> Json:
    return {**_string(description, default), "pattern": "^/", "expected": "an absolute path"}


def _flag(description: str, default: bool) -> Json:
    return {"description": description, "type": "boolean", "default": default}


def _number(description: str, unit: str, default: int, minimum: int, maximum: int) -> Json:
    bounds = {"minimum": minimum, "maximum": maximum}
    return {"description": description, "type": "integer", "unit": unit, "default": default, **bounds}


def _seconds(description: str, default: float, minimum: float, maximum: float) -> Json:
    return {**_number(description, "seconds", 0, 0, 0), "type": "number", "default": default,
            "minimum": minimum, "maximum": maximum}  # fmt: skip


def _list(description: str, items: Json | None = None, default: t.Sequence[str] = ()) -> Json:
    each = items or {"type": "string", "minLength": 1}
    return {"description": description, "type": "array", "items": each, "uniqueItems": True, "default": list(default)}


def _named(description: str, each: Json) -> Json:
    return {
        "description": description,
        "type": "object",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": each,
        "default": {},
    }


def _address(description: str) -> Json:
    return {"description": description, "type": "string", "pattern": _ADDRESS, "expected": "address:port"}


_INTAKE = _section(
    "Where monitors and masakari-monitors send their signals.",
    listen=_list("Addresses, as 192.0.2.5:7411.", _address("One address."), default=(f"127.0.0.1:{INTAKE_PORT}",)),
    certificate=_path("The certificate of the server and what stands between it and its authority, as PEM."),
    key=_path("Its private key, as PEM, readable for this service alone."),
    client_ca=_path(
        "Clients must show a certificate of this authority beside their token. Not given: none is asked for."
    ),
    plain_http=_flag("No TLS: behind a proxy of this machine, and for tests.", False),
    body_limit=_number("The largest request that is read.", "bytes", 65536, 1024, 16777216),
    per_host_rate=_number("Signals that each host may send in the long run.", "signals per second", 50, 1, 100000),
    per_host_burst=_number("Signals that each host may send at once.", "signals", 200, 1, 1000000),
    queue=_number("Signals that wait for the journal; more are answered with 503.", "signals", 20000, 1, 1000000),
)

_HEARTBEAT = _section(
    "What tells that a host lives.",
    networks=_named(
        "Own address on each network on which hosts are listened to, by the names of the policy. None: this responder "
        "hears no host itself.",
        _address("As 192.0.2.5:7412."),
    ),
    silence=_seconds("A host that is silent for so long is lost on that network.", 2.5, 0.2, 600),
)

_RUNS = _section(
    "How recovery runs are started.",
    directory=_path("Where they leave their artifacts.", "/var/lib/openstack_ha/runs"),
    keep_days=_number("Older artifacts and signals are removed, if their incident has ended.", "days", 90, 1, 36500),
    keep_count=_number("So many runs are kept at most.", "runs", 1000, 1, 1000000),
    warm=_flag("Whether Ansible is kept loaded, so that a run starts at once.", True),
    timeout=_seconds("A run that takes longer is cancelled.", 7200, 60, 7 * _DAY),
    at_once=_number("Runs at work at the same time on this machine.", "runs", 50, 1, 10000),
    lease=_seconds("How long a claim outlives its last renewal.", 60, 2, 3600),
    inventory=_path("What runs get as their inventory. Not given: the segments file."),
    extra_vars={
        "description": "Variables for every run, as evacuate_parallel.",
        "type": "object",
        "default": {},
        "properties": {},
        "additionalProperties": True,
    },
    awx={
        **_section(
            "A job template of AWX that is launched instead of a run on this machine.",
            url=_needed("Of AWX, as https://awx.example.net."),
            token_file=_file("A file with a token that may launch it."),
            job_template=_number("Its id.", "id", 1, 1, 2147483647),
            job_templates=_section(
                "Ids of those for other playbooks; without one, such runs are refused.",
                **{
                    f"recover_{kind}": {
                        "description": f"For recover_{kind}.", "type": ["integer", "null"], "default": None,
                        "minimum": 1, "maximum": 2147483647, "expected": "id",
                    }
                    for kind in ("instance", "process", "network")
                },
            ),
            verify={"description": "Whether, or with which authority, its certificate is checked.",
                    "type": ["boolean", "string"], "default": True, "expected": "true, false or a path"},
        ),
        "type": ["object", "null"],
        "default": None,
        "required": ["url", "token_file", "job_template"],
    },
)  # fmt: skip

_EVENTS = _list(
    "The events that it gets. None: all.",
    {"type": "string", "enum": ["verdict", "run_started", "run_ended", "incident_closed", "vms_affected", "vms_ended",
                                "vm_notify"]},
)  # fmt: skip
_PROJECTS = _list(
    "It belongs to the owners of these projects (ids): it is told of their VMs only, and of nothing else. "
    "None: it belongs to operators."
)

_WEBHOOK = {
    **_section(
        "One webhook.",
        name=_needed("Its name, for the journal and for error messages."),
        url=_needed("Where events are posted to.", pattern="^https?://", expected="an http or https URL"),
        secret_file=_path("A file with the secret that signs each request."),
        ca_file=_path("The authority of its certificate. Not given: those of the system."),
        events=_EVENTS,
        projects=_PROJECTS,
    ),
    "required": ["name", "url"],
}

_MAIL = {
    **_section(
        "One mailbox, or several that are told the same.",
        name=_needed("Its name, for the journal and for error messages."),
        server=_needed("The mail server, with its port unless that is the usual one: mail.example.net:587."),
        security={"description": "`starttls` (port 587), `tls` from the first byte on (465), or `none` (25).",
                  "type": "string", "enum": ["starttls", "tls", "none"], "default": "starttls"},
        ca_file=_path("The authority of its certificate. Not given: those of the system."),
        user=_string("Who logs in there. Not given: nobody."),
        password_file=_path("A file with the password of `user`."),
        to={**_list("Who gets it.", {"type": "string", "pattern": _MAILBOX, "expected": "an e-mail address"}),
            "minItems": 1},
        events=_EVENTS,
        projects=_PROJECTS,
        **{"from": {**_needed("Whom it comes from."), "pattern": _MAILBOX, "expected": "an e-mail address"}},
    ),
    "required": ["name", "server", "from", "to"],
}  # fmt: skip

_BUS = {
    **_section(
        "One message bus, for OpenStack notifications. It needs the Python package oslo.messaging.",
        name=_needed("Its name, for the journal and for error messages."),
        url_file=_file(
            "A file with the transport URL of oslo.messaging, as rabbit://user:password@192.0.2.9:5672/, readable for "
            "this service alone."
        ),
        topics=_list("Their topics; what listens to `notifications.info` gets them.", default=("notifications",)),
        publisher_id=_needed("What they say that they come from.", default="openstack_ha.responder"),
        events=_EVENTS,
        projects=_PROJECTS,
    ),
    "required": ["name", "url_file"],
}

SCHEMA: Json = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "responder.yml of the Ansible collection openstack_ha.recovery",
    **_section(
        "How one responder works. All responders of a cloud have the same journal, segments and policy.",
        name=_needed("Its name among the responders.", pattern=_NAME, expected=_NAME_WORDS),
        responders=_list("The names of all responders, this one among them. None: it is the only one."),
        segments_file=_file("The segments file; runs use it as their inventory."),
        policy_file=_path("The policy. Not given: as the segments file says, or ha_policy.yml beside it."),
        cloud=_string("The name of the cloud in clouds.yaml. Not given: as the segments file says."),
        region_name=_string("Its region, where clouds.yaml has several."),
        interface={**_string("The interface of its endpoints."), "enum": ["admin", "internal", "public", None]},
        validate_certs={"description": "Whether its certificates are checked. Not given: as clouds.yaml says.",
                        "type": ["boolean", "null"], "default": None},
        ca_cert=_path("The authority of its certificates."),
        api_timeout=_number("How long an answer is waited for.", "seconds", 10, 1, 600),
        journal_url=_string("Where the journal is, as a URL. Not given: as OPENSTACK_HA_JOURNAL says."),
        journal_url_file=_path("A file with this URL, where it holds a password; readable for this service alone."),
        key_file=_file("The keys that tokens are made of, one in a line, the current one first."),
        reporters=_named(
            "What may speak about other hosts than itself: membership engines, masakari-monitors. Each is one witness.",
            _section(
                "One reporter.",
                segments={**_list("The segments it may speak about. Not given: all."), "type": ["array", "null"],
                          "default": None},
            ),
        ),
        intake=_INTAKE,
        heartbeat=_HEARTBEAT,
        kdump=_section(
            "Messages of crash kernels.",
            listen=_list("Own addresses at which they arrive, as 192.0.2.5:7410.", _address("One address.")),
        ),
        probe_timeout=_seconds("How long a host may take to answer a probe.", 0.5, 0.05, 30),
        look=_seconds("The longest time between two looks at Nova while all is well.", 5.0, 0.5, 60),
        runs=_RUNS,
        webhooks={"description": "Who is told of verdicts, runs and ends of incidents.", "type": "array",
                  "items": _WEBHOOK, "default": []},
        mail={"description": "Who is told of the same by e-mail.", "type": "array", "items": _MAIL, "default": []},
        bus={"description": "Where the same is told as OpenStack notifications.", "type": "array", "items": _BUS,
             "default": []},
        metrics_public=_flag("Whether /metrics and /healthz are answered without a token.", False),
    ),
    "required": ["name", "segments_file", "key_file"],
}  # fmt: skip


class Address(t.NamedTuple):
    """Where to listen."""

    host: str
    port: int


@dataclasses.dataclass(frozen=True)
class Intake:
    """See the schema."""

    listen: list[Address]
    certificate: str | None
    key: str | None
    client_ca: str | None
    plain_http: bool
    body_limit: int
    per_host_rate: int
    per_host_burst: int
    queue: int


@dataclasses.dataclass(frozen=True)
class Heartbeat:
    """See the schema."""

    networks: dict[str, Address]
    silence: float


@dataclasses.dataclass
class Config:
    """A valid responder.yml, complete.

    :param cloud: Options for ``_cloud.connect()``; empty: those of the segments file.
    :param reporters: By name, with the ``segments`` that it may speak about; None: all.
    :param runs, webhooks, mail, bus: As in the schema. :param values: All of it as in the schema.
    """

    name: str
    responders: list[str]
    segments_file: str
    policy_file: str | None
    cloud: Json
    journal: str | None
    journal_url_file: str | None
    key_file: str
    reporters: Json
    intake: Intake
    heartbeat: Heartbeat
    kdump: list[Address]
    probe_timeout: float
    look: float
    runs: Json
    webhooks: list[Json]
    mail: list[Json]
    bus: list[Json]
    metrics_public: bool
    values: Json

    @property
    def journal_url(self) -> str | None:
        """For ``open_journal()``; a URL with a password stays in its file."""
        if self.journal_url_file:
            return f"file:{self.journal_url_file}"
        return self.journal or os.environ.get("OPENSTACK_HA_JOURNAL") or None


def load(path: str) -> Config:
    """Read and check responder.yml.

    :raises ConfigError: Naming the path of every key that is wrong, a line each.
    """
    try:
        return parse(_config.read(contents(path)))
    except ConfigError as error:
        told = [f"{os.path.basename(path)}: {message}" for message in _config.errors_of(error)]
        raise ConfigError("\n".join(told), errors=told) from None


def parse(given: t.Any) -> Config:
    """The same of its contents."""
    sound, errors = check({} if given is None else given, SCHEMA, "responder.yml")
    values = filled(SCHEMA, sound)
    # Theirs is any shape.
    values["runs"]["extra_vars"] = (sound.get("runs") or {}).get("extra_vars") or {}
    _config.raise_all(errors + list(_contradictions(values)))
    return _config_of(values)


def defaults() -> Json:
    """What holds where nothing is said."""
    return t.cast(Json, filled(SCHEMA, {}))


def _contradictions(values: Json) -> t.Iterator[ConfigError]:
    """What no schema can say."""
    name, names = values.get("name"), values["responders"]
    if names and name and name not in names:
        yield ConfigError(f"responders: does not name this one, '{name}'.")
    intake = values["intake"]
    if not intake["plain_http"]:
        missing = [key for key in ("certificate", "key") if not intake[key]]
        if missing:
            yield ConfigError(f"intake.{missing[0]}: is missing; give certificate and key, or plain_http: true.")
    if intake["plain_http"] and any(intake[key] for key in ("certificate", "key", "client_ca")):
        yield ConfigError("intake.plain_http: is true, but a certificate, key or client_ca is given, too.")
    if values["journal_url"] and values["journal_url_file"]:
        yield ConfigError("journal_url: is given beside journal_url_file; leave one out.")
    taken = {*values["responders"], values.get("name"), "nova", "probe", "operator"} & set(values["reporters"])
    for reporter in sorted(taken):
        yield ConfigError(f"reporters.{reporter}: this name is taken; each witness needs a name of its own.")
    yield from _channels(values)
    for path, text in _addresses(values):
        if not 1 <= address(text).port <= 65535:
            yield ConfigError(f"{path}: the port must be from 1 to 65535.")


def _channels(values: Json) -> t.Iterator[ConfigError]:
    """The journal knows a channel by its name alone."""
    seen: set[str] = set()
    for number, (path, channel) in enumerate((key, it) for key in CHANNELS for it in values[key]):
        name = channel.get("name")
        if name in seen:
            yield ConfigError(f"{path}: there are several channels with the name '{name}'; each needs its own.")
        seen.add(name or f"{number} without a name")
        if path == "mail" and bool(channel["user"]) != bool(channel["password_file"]):
            yield ConfigError(f"mail: '{name}': user and password_file are needed together.")


def _addresses(values: Json) -> t.Iterator[tuple[str, str]]:
    for section in ("intake", "kdump"):
        yield from ((f"{section}.listen[{number}]", it) for number, it in enumerate(values[section]["listen"]))
    yield from ((f"heartbeat.networks.{name}", it) for name, it in values["heartbeat"]["networks"].items())


def address(text: str) -> Address:
    """Host and port of ``address:port``; IPv6 addresses stand in brackets."""
    host, _colon, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


def _config_of(given: Json) -> Config:
    inventory = given["runs"]["inventory"] or given["segments_file"]
    values = {
        **given,
        "responders": sorted(given["responders"] or [given["name"]]),
        "runs": {**given["runs"], "inventory": inventory},
    }
    intake, heartbeat = values["intake"], values["heartbeat"]
    networks = {name: address(it) for name, it in heartbeat["networks"].items()}
    return Config(
        cloud={key: values[key] for key in CLOUD_KEYS if values[key] is not None} if values["cloud"] else {},
        intake=Intake(**{**intake, "listen": [address(it) for it in intake["listen"]]}),
        heartbeat=Heartbeat(networks, float(heartbeat["silence"])),
        kdump=[address(it) for it in values["kdump"]["listen"]],
        journal=values["journal_url"],
        values=values,
        **{key: values[key] for key in _AS_THEY_ARE},
    )


_AS_THEY_ARE = (
    "name", "responders", "segments_file", "policy_file", "journal_url_file", "key_file", "reporters", "probe_timeout",
    "look", "runs", "webhooks", "mail", "bus", "metrics_public",
)  # fmt: skip
