from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret, VaultSecretsContext
from ansible.plugins.loader import fragment_loader, init_plugin_loader, inventory_loader
from ansible.template import Templar
from ansible.utils.plugin_docs import add_fragments

from ansible_collections.openstack_ha.recovery.plugins.inventory import failover_segments
from ansible_collections.openstack_ha.recovery.plugins.module_utils import _cloud, _configuration, _segments_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_file import Policy
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults

Json = dict[str, t.Any]
NAME = "openstack_ha.recovery.failover_segments"
VAULT = VaultSecret(b"vault-password")


class FakeCloud:
    """Nova's three lists, page by page; anything else that is asked is an error."""

    page = 1000

    def __init__(self, hosts: t.Sequence[str]) -> None:
        self.calls: list[str] = []
        self.remembered = 0
        self.services: list[Json] = [
            {
                "id": f"s-{host}",
                "host": host,
                "binary": "nova-compute",
                "zone": "nova",
                "state": "up",
                "status": "enabled",
                "disabled_reason": None,
                "forced_down": False,
            }
            for host in hosts
        ]
        self.hypervisors: list[Json] = [
            {"id": f"h-{host}", "service": {"host": host}, "hypervisor_hostname": host, "host_ip": "192.0.2.1"}
            for host in hosts
        ]
        self.aggregates: list[Json] = []

    def best_microversion(self, wanted: str) -> str:
        return wanted

    def get(self, service: str, path: str, microversion: str | None = None, **params: t.Any) -> Json:
        self.calls.append(path)
        if path == "/os-hypervisors/detail":
            assert microversion == "2.87"
            return self._hypervisor_page(params)
        return {"/os-services": {"services": self.services}, "/os-aggregates": {"aggregates": self.aggregates}}[path]

    def _hypervisor_page(self, params: Json) -> Json:
        ids = [hypervisor["id"] for hypervisor in self.hypervisors]
        start = ids.index(params["marker"]) + 1 if "marker" in params else 0
        end = start + min(params["limit"], self.page)
        body: Json = {"hypervisors": self.hypervisors[start:end]}
        if end < len(ids):
            body["hypervisors_links"] = [{"rel": "next"}]
        return body

    def remember(self) -> None:
        self.remembered += 1


@pytest.fixture(autouse=True, scope="module")
def ansible() -> None:
    """What the command line tools do before they read an inventory."""
    if not inventory_loader.find_plugin(NAME):
        init_plugin_loader()
    if not VaultSecretsContext.current(optional=True):
        VaultSecretsContext.initialize(VaultSecretsContext([("default", VAULT)]))


@pytest.fixture
def nova(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    cloud = FakeCloud(["cmp01", "cmp02", "cmp03"])
    monkeypatch.setattr(_cloud, "connect", lambda params: cloud)
    return cloud


class Read:
    """A segments file, read as ansible-playbook reads it."""

    def __init__(self, path: Path) -> None:
        self.loader = DataLoader()
        self.loader.set_vault_secrets([("default", VAULT)])
        self.manager = InventoryManager(loader=self.loader, sources=[str(path)])

    def groups(self) -> dict[str, list[str]]:
        return {name: sorted(hosts) for name, hosts in self.manager.get_groups_dict().items() if hosts}

    def host(self, name: str) -> Json:
        return dict(self.manager.get_host(name).get_vars())

    def resolved(self, name: str, value: t.Any, **variables: t.Any) -> t.Any:
        return Templar(loader=self.loader, variables={**self.host(name), **variables}).template(value)


@pytest.fixture
def read(tmp_path: Path) -> t.Callable[..., Read]:
    def read(text: str, name: str = "x.failover_segments.yml") -> Read:
        path = tmp_path / name
        path.write_text(f"plugin: {NAME}\n{text}")
        return Read(path)

    return read


def refusal(read: t.Callable[[str], Read], text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    warnings: list[str] = []
    monkeypatch.setattr("ansible.inventory.manager.display.warning", lambda msg, **kw: warnings.append(msg))
    monkeypatch.setattr(
        "ansible.inventory.manager.display.error_as_warning",
        lambda msg, exception, **kw: warnings.append(str(exception)),
    )
    result = read(text)
    assert not result.manager.hosts
    assert set(result.manager.groups) <= {"all", "ungrouped"}
    return "\n".join(warnings)


MINIMAL = "segments: {rack1: {hosts: [cmp01, cmp02], reserved_hosts: [cmp02]}}\n"


def test_hosts_are_in_the_groups_of_their_segment_role_and_state(nova: FakeCloud, read: t.Callable[..., Read]) -> None:
    nova.services[0].update(state="down", forced_down=True, status="disabled", disabled_reason="maintenance of rack")
    groups = read(MINIMAL).groups()
    assert groups == {
        "all": ["cmp01", "cmp02", "cmp03"],
        "failover_segments": ["cmp01", "cmp02"],
        "segment_rack1": ["cmp01", "cmp02"],
        "ha_reserved": ["cmp02"],
        "ha_down": ["cmp01"],
        "ha_forced_down": ["cmp01"],
        "ha_maintenance": ["cmp01"],
        "ha_unassigned": ["cmp03"],
    }


def test_groups_without_a_host_exist(nova: FakeCloud, read: t.Callable[..., Read]) -> None:
    assert "ha_down" in read(MINIMAL).manager.groups


def test_a_host_has_all_documented_variables_and_no_other(nova: FakeCloud, read: t.Callable[..., Read]) -> None:
    nova.hypervisors[0].update(vcpus=8, vcpus_used=1, hypervisor_hostname="cmp01.example.net")
    variables = read(MINIMAL).host("cmp01")
    capacity = variables.pop("ha_capacity")
    assert {key: value for key, value in variables.items() if key.startswith("ha_")} == {
        "ha_segment": "rack1",
        "ha_role": "active",
        "ha_service_id": "s-cmp01",
        "ha_service_host": "cmp01",
        "ha_service_state": "up",
        "ha_service_status": "enabled",
        "ha_disabled_reason": None,
        "ha_forced_down": False,
        "ha_hypervisor_hostname": "cmp01.example.net",
        "ha_hypervisor_id": "h-cmp01",
        "ha_host_ip": "192.0.2.1",
        "ha_zone": "nova",
        "ha_failure_domain": None,
        "ha_fencing": [],
        "ha_identity": {},
        "ha_probe": ["tcp://192.0.2.1:22"],
    }
    assert capacity["vcpus"] == 8
    assert capacity["memory_mb"] is None


def test_the_topology_is_a_variable_of_all_hosts(nova: FakeCloud, read: t.Callable[..., Read]) -> None:
    topology = read(MINIMAL).manager.groups["all"].get_vars()["ha_topology"]
    assert topology["segments"].keys() == {"rack1"}
    assert topology["hosts"].keys() == {"cmp01", "cmp02"}


@pytest.mark.parametrize("name", ["failover_segments.yml", "prod.failover_segments.yaml"])
def test_both_endings_are_read(nova: FakeCloud, read: t.Callable[..., Read], name: str) -> None:
    assert "cmp01" in read(MINIMAL, name).manager.hosts


def test_a_file_of_another_name_is_left_alone(nova: FakeCloud, read: t.Callable[..., Read]) -> None:
    assert "cmp01" not in read(MINIMAL, "segments.yml").manager.hosts


FENCED = (
    MINIMAL
    + """
fencing:
  - devices:
      - method: ipmi
        address: "{{ inventory_hostname }}-bmc"
        username: admin
        password: "{{ bmc_password }}"
"""
)


def test_fencing_templates_reach_the_host_unresolved_and_still_trusted(
    nova: FakeCloud, read: t.Callable[..., Read]
) -> None:
    inventory = read(FENCED)
    levels = inventory.host("cmp01")["ha_fencing"]
    assert levels[0]["devices"][0]["password"] == "{{ bmc_password }}"
    resolved = inventory.resolved("cmp01", levels, bmc_password="s3cret", inventory_hostname="cmp01")
    assert resolved[0]["devices"][0]["password"] == "s3cret"
    assert resolved[0]["devices"][0]["address"] == "cmp01-bmc"


def vaulted(secret: str) -> str:
    return VaultLib().encrypt(secret, VAULT).decode()


def test_a_vaulted_password_stays_encrypted_until_it_is_used(nova: FakeCloud, read: t.Callable[..., Read]) -> None:
    ciphertext = vaulted("s3cret").replace("\n", "\n          ")
    inventory = read(FENCED.replace('"{{ bmc_password }}"', f"!vault |\n          {ciphertext}"))
    levels = inventory.host("cmp01")["ha_fencing"]
    assert "s3cret" not in repr(levels)
    assert inventory.resolved("cmp01", levels, inventory_hostname="cmp01")[0]["devices"][0]["password"] == "s3cret"


def test_what_nova_says_is_never_a_template(nova: FakeCloud, read: t.Callable[..., Read]) -> None:
    nova.services[0]["disabled_reason"] = "{{ 40 + 2 }}"
    inventory = read(MINIMAL)
    assert inventory.resolved("cmp01", inventory.host("cmp01")["ha_disabled_reason"]) == "{{ 40 + 2 }}"


def test_connection_options_are_resolved_for_the_connection(
    nova: FakeCloud, read: t.Callable[..., Read], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("from-file")
    given: list[t.Mapping[str, t.Any]] = []

    def connect(params: t.Mapping[str, t.Any]) -> FakeCloud:
        given.append(params)
        return nova

    monkeypatch.setattr(_cloud, "connect", connect)
    ciphertext = vaulted("from-vault").replace("\n", "\n    ")
    read(
        f"""{MINIMAL}
auth:
  password: "{{{{ lookup('ansible.builtin.file', '{tmp_path}/password') }}}}"
  token: !vault |
    {ciphertext}
cacert: /etc/ca.pem
"""
    )
    assert json.loads(json.dumps(given[0]["auth"])) == {"password": "from-file", "token": "from-vault"}
    assert given[0]["ca_cert"] == "/etc/ca.pem"
    assert given[0].keys() == _cloud.CLOUD_SPEC.keys()


def test_the_tasks_are_told_how_the_file_connects_with_secrets_unresolved(
    nova: FakeCloud, read: t.Callable[..., Read]
) -> None:
    inventory = read(
        MINIMAL
        + """
cloud: prod
cacert: /etc/ca.pem
auth: {password: "{{ lookup('ansible.builtin.env', 'KEYSTONE_PASSWORD') }}"}
"""
    )
    assert inventory.manager.groups["all"].get_vars()["ha_connection"] == {
        "cloud": "prod",
        "ca_cert": "/etc/ca.pem",
        "auth": {"password": "{{ lookup('ansible.builtin.env', 'KEYSTONE_PASSWORD') }}"},
    }


def test_one_thousand_hypervisors_need_three_calls_and_the_next_thousand_one_more(
    nova: FakeCloud, read: t.Callable[..., Read]
) -> None:
    for count, calls in ((1000, 3), (1001, 4)):
        nova.__init__([f"n{number}" for number in range(count)])  # type: ignore[misc]
        inventory = read("segments: {rack1: {availability_zone: nova}}")
        assert len(inventory.manager.groups["segment_rack1"].get_hosts()) == count
        assert len(nova.calls) == calls


def test_the_token_is_left_for_the_tasks(nova: FakeCloud, read: t.Callable[..., Read]) -> None:
    read(MINIMAL)
    assert nova.remembered == 1


def test_constructed_variables_and_groups_are_made(nova: FakeCloud, read: t.Callable[..., Read]) -> None:
    inventory = read(
        MINIMAL
        + """
compose: {ansible_host: ha_host_ip}
groups: {spare: ha_role == 'reserved'}
keyed_groups: [{key: ha_zone, prefix: zone}]
"""
    )
    assert inventory.host("cmp01")["ansible_host"] == "192.0.2.1"
    assert inventory.groups()["spare"] == ["cmp02"]
    assert inventory.groups()["zone_nova"] == ["cmp01", "cmp02", "cmp03"]


def test_strict_refuses_an_expression_that_fails(
    nova: FakeCloud, read: t.Callable[..., Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = MINIMAL + "compose: {x: nosuch.attribute}\n"
    assert "x" not in read(broken).host("cmp01")
    warnings: list[str] = []
    monkeypatch.setattr(
        "ansible.inventory.manager.display.error_as_warning",
        lambda msg, exception, **kw: warnings.append(str(exception)),
    )
    read(broken + "strict: true\n")
    assert "Could not set x for host cmp01" in warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("segments: {rack1: {hots: [cmp01]}}", "segments.rack1.hots: unknown key. Did you mean 'hosts'?"),
        (MINIMAL + "strct: true\n", "strct: unknown key. Did you mean 'strict'?"),
        (
            "segments:\n  a: {hosts: [cmp01]}\n  a: {hosts: [cmp02]}\n",
            "segments.a: stands twice in the file, in lines 3 and 4",
        ),
        (MINIMAL + "hosts:\n  cmp01: {probe: [], probe: []}\n", "hosts.cmp01.probe: stands twice in the file"),
        ("segments: {rack1: {hosts: [nosuch]}}", "segments.rack1.hosts[0]: Nova knows no compute host 'nosuch'."),
        ("segments: {a: {hosts: [cmp01]}, b: {hosts: [cmp01]}}", "segments.b: host 'cmp01' is in this segment and in"),
        ("segments: {}", "segments: is missing or empty;"),
        ("segments: []", "Config 'segments'"),
        ("cloud: x", "Required config 'segments'"),
        (MINIMAL + "fencing: none\n", "fencing: must be a list of fencing levels, not 'none'."),
        (MINIMAL + "fencing: [{devices: [{method: nosuch}]}]\n", "fencing[0]"),
    ],
)
def test_a_wrong_file_adds_nothing_and_says_why(
    nova: FakeCloud, read: t.Callable[..., Read], monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    assert message in refusal(read, text, monkeypatch)


def test_an_unreachable_api_adds_nothing_and_says_why(
    nova: FakeCloud, read: t.Callable[..., Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(params: t.Any) -> t.NoReturn:
        raise CloudError("GET compute /os-services: no answer: Connection refused")

    monkeypatch.setattr(_cloud, "connect", unreachable)
    assert "GET compute /os-services: no answer: Connection refused" in refusal(read, MINIMAL, monkeypatch)


@pytest.fixture
def cached(tmp_path: Path) -> str:
    return f"cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {tmp_path}/cache\n"


def test_the_cache_saves_the_calls_and_keeps_templates_trusted(
    nova: FakeCloud, read: t.Callable[..., Read], cached: str
) -> None:
    read(FENCED + cached)
    calls = len(nova.calls)
    inventory = read(FENCED + cached)
    assert len(nova.calls) == calls
    levels = inventory.host("cmp01")["ha_fencing"]
    resolved = inventory.resolved("cmp01", levels, bmc_password="s3cret", inventory_hostname="cmp01")
    assert resolved[0]["devices"][0]["password"] == "s3cret"


def test_the_file_itself_is_read_anew_in_spite_of_the_cache(
    nova: FakeCloud, read: t.Callable[..., Read], cached: str
) -> None:
    read(MINIMAL + cached)
    assert "segment_rack2" in read(MINIMAL.replace("rack1", "rack2") + cached).manager.groups


def test_the_cache_holds_nothing_of_the_file(
    nova: FakeCloud, read: t.Callable[..., Read], cached: str, tmp_path: Path
) -> None:
    read(FENCED.replace("{{ bmc_password }}", "s3cret") + cached + "auth: {password: s3cret}\n")
    kept = "".join(file.read_text() for file in (tmp_path / "cache").iterdir())
    assert "cmp01" in kept
    assert "s3cret" not in kept
    assert "rack1" not in kept


def test_a_refreshed_inventory_asks_nova_again(nova: FakeCloud, read: t.Callable[..., Read], cached: str) -> None:
    inventory = read(MINIMAL + cached)
    nova.services[0]["state"] = "down"
    inventory.manager.refresh_inventory()
    assert inventory.groups()["ha_down"] == ["cmp01"]
    assert read(MINIMAL + cached).groups()["ha_down"] == ["cmp01"]


def of_all(inventory: Read) -> Json:
    return dict(inventory.manager.groups["all"].get_vars())


def test_without_a_policy_file_the_variables_say_the_defaults(nova: FakeCloud, read: t.Callable[..., Read]) -> None:
    variables = of_all(read(MINIMAL))
    assert variables["ha_policy"] == defaults()
    assert variables["ha_policy_hash"] == Policy().hash
    assert len(variables["ha_segments_hash"]) == 64
    assert variables["ha_topology"]["segments"]["rack1"]["protect"] is True
    assert variables["ha_topology"]["segments"]["rack1"]["priority"] == 500


def test_the_policy_beside_the_file_is_read_and_filled_in(
    nova: FakeCloud, read: t.Callable[..., Read], tmp_path: Path
) -> None:
    before = of_all(read(MINIMAL))
    (tmp_path / "ha_policy.yml").write_text("{ask: {wait: 60}, vms: {protect: false, priority: 7}}")
    variables = of_all(read(MINIMAL.replace("rack1:", "rack2: {hosts: [cmp03], priority: 9}, rack1:")))
    assert variables["ha_policy"] == {
        **defaults(),
        "ask": {**defaults()["ask"], "wait": 60},
        "vms": {"protect": False, "priority": 7},
    }
    segments = variables["ha_topology"]["segments"]
    assert {name: (it["protect"], it["priority"]) for name, it in segments.items()} == {
        "rack1": (False, 7),
        "rack2": (False, 9),
    }
    assert variables["ha_policy_hash"] != before["ha_policy_hash"]
    assert variables["ha_segments_hash"] != before["ha_segments_hash"]


def test_the_policy_may_be_elsewhere_and_encrypted_as_a_whole(
    nova: FakeCloud, read: t.Callable[..., Read], tmp_path: Path
) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "mine.yml").write_text(vaulted("ask: {wait: 61}"))
    assert of_all(read(MINIMAL + "policy_file: policies/mine.yml\n"))["ha_policy"]["ask"]["wait"] == 61


def test_the_policy_is_read_anew_in_spite_of_the_cache_and_never_cached(
    nova: FakeCloud, read: t.Callable[..., Read], cached: str, tmp_path: Path
) -> None:
    for wait in (1, 2):
        (tmp_path / "ha_policy.yml").write_text(f"{{ask: {{wait: {wait}}}, vms: {{priority: 987}}}}")
        inventory = read(MINIMAL + cached)
        assert of_all(inventory)["ha_policy"]["ask"]["wait"] == wait
    assert len(nova.calls) == 3
    (tmp_path / "ha_policy.yml").write_text("ask: {wait: 3}")
    inventory.manager.refresh_inventory()
    assert of_all(inventory)["ha_policy"]["ask"]["wait"] == 3
    assert "987" not in "".join(file.read_text() for file in (tmp_path / "cache").iterdir())


def test_what_is_wrong_in_both_files_is_told_at_once_and_nova_is_not_asked(
    nova: FakeCloud, read: t.Callable[..., Read], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ha_policy.yml").write_text("gats: {}\nbudgets: {segments: {rack3: {}}}")
    lines = refusal(read, "segments: {rack1: {hots: [cmp01]}}\n", monkeypatch).splitlines()
    for line in (
        "segments.rack1.hots: unknown key. Did you mean 'hosts'?",
        "ha_policy.yml: gats: unknown key. Did you mean 'gates'?",
        "ha_policy.yml: budgets.segments.rack3: the segments file has no segment 'rack3'. Did you mean 'rack1'?",
    ):
        assert any(it.endswith(line) for it in lines), lines
    assert nova.calls == []


def test_a_policy_that_is_named_and_not_there_adds_nothing(
    nova: FakeCloud, read: t.Callable[..., Read], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"{tmp_path}/nosuch.yml" in refusal(read, MINIMAL + "policy_file: nosuch.yml\n", monkeypatch)


def test_what_is_odd_in_the_policy_is_a_warning(
    nova: FakeCloud, read: t.Callable[..., Read], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("ansible.utils.display.Display.warning", lambda self, msg, **kw: warnings.append(msg))
    (tmp_path / "ha_policy.yml").write_text("budgets: {cloud: {at_once: 4}}")
    assert "cmp01" in read(MINIMAL).manager.hosts
    assert warnings == ["ha_policy.yml: budgets.cloud.at_once: 4 is never reached, per_hour there is 3."]


def documented_options() -> Json:
    return dict(yaml.safe_load(failover_segments.DOCUMENTATION)["options"])


def test_the_documented_keys_and_defaults_are_those_that_are_accepted() -> None:
    for option, checks, settings in [
        ("segments", _segments_file.SEGMENT_KEYS, dataclasses.asdict(_segments_file.Segment("x"))),
        ("hosts", _segments_file.HOST_KEYS, dataclasses.asdict(_segments_file.HostSettings("x"))),
    ]:
        documented = documented_options()[option]["suboptions"]
        assert documented.keys() == checks.keys()
        assert checks.keys() == settings.keys() - {"name"}
        for key, suboption in documented.items():
            assert (suboption.get("default") or None) == (settings[key] or None), key


def test_the_documented_recovery_methods_are_those_that_are_accepted() -> None:
    documented = documented_options()["segments"]["suboptions"]["recovery_method"]["choices"]
    assert tuple(documented) == _segments_file.RECOVERY_METHODS


def test_the_keys_that_are_not_about_segments_are_the_same_where_no_inventory_is_read() -> None:
    documented = dict(yaml.safe_load(failover_segments.DOCUMENTATION))
    add_fragments(documented, failover_segments.__file__, fragment_loader, is_module=False)
    names = {name for key, it in documented["options"].items() for name in (key, *it.get("aliases", ()))}
    assert names - {"segments", "hosts", "fencing"} == _configuration.OTHER_KEYS
