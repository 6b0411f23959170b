from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _configuration
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_file import Policy

SEGMENTS = """
plugin: openstack_ha.recovery.failover_segments
segments:
  rack1: {hosts: [cmp01], failure_domain: pdu-a}
  rack2: {hosts: [cmp02], protect: true}
hosts:
  cmp01: {failure_domain: pdu-b}
"""


@pytest.fixture
def files(tmp_path: Path) -> t.Callable[..., str]:
    """Write a segments file, and a policy beside it; the path of the former."""

    def files(segments: str = SEGMENTS, policy: str | None = None, name: str = "ha_policy.yml") -> str:
        path = tmp_path / "x.failover_segments.yml"
        path.write_text(segments)
        if policy is not None:
            (tmp_path / name).write_text(policy)
        return str(path)

    return files


def errors(*paths: t.Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _configuration.load(paths[0], paths[1] if len(paths) > 1 else None)
    return list(caught.value.facts.get("errors") or [caught.value.message])


def test_without_a_policy_file_the_defaults_hold(files: t.Callable[..., str]) -> None:
    found, path = _configuration.load(files(), None)
    assert (found.policy, path) == (Policy(), None)
    assert [(segment.protect, segment.priority) for segment in found.segments.segments] == [(True, 500), (True, 500)]


def test_the_policy_beside_the_segments_file_is_found(files: t.Callable[..., str], tmp_path: Path) -> None:
    found, path = _configuration.load(files(policy="vms: {protect: false, priority: 3}"), None)
    assert path == str(tmp_path / "ha_policy.yml")
    assert [(segment.protect, segment.priority) for segment in found.segments.segments] == [(False, 3), (True, 3)]


@pytest.mark.parametrize("policy", ["budgets: {failure_domains: {pdu-a: {}, pdu-b: {}}}", "segments: {rack2: {}}"])
def test_the_names_of_the_segments_file_may_be_used(files: t.Callable[..., str], policy: str) -> None:
    assert _configuration.load(files(policy=policy), None)[0].policy.warnings == []


def test_the_segments_file_names_another_policy_relative_to_itself(files: t.Callable[..., str], tmp_path: Path) -> None:
    path = files(SEGMENTS + "policy_file: mine.yml\n", "ask: {wait: 5}", "mine.yml")
    (tmp_path / "ha_policy.yml").write_text("broken: true")
    found, policy_path = _configuration.load(path, None)
    assert found.policy.values["ask"]["wait"] == 5
    assert policy_path == str(tmp_path / "mine.yml")


def test_who_asks_may_name_another_policy(files: t.Callable[..., str], tmp_path: Path) -> None:
    path = files(SEGMENTS + "policy_file: mine.yml\n", "ask: {wait: 5}", "other.yml")
    assert _configuration.load(path, str(tmp_path / "other.yml"))[0].policy.values["ask"]["wait"] == 5


def test_errors_of_both_files_are_told_at_once_each_with_its_file(files: t.Callable[..., str]) -> None:
    assert errors(files(SEGMENTS.replace("hosts: [cmp01]", "hots: [cmp01]"), "gats: {}\nvms: {priority: x}")) == [
        "x.failover_segments.yml: segments.rack1.hots: unknown key. Did you mean 'hosts'?",
        "ha_policy.yml: gats: unknown key. Did you mean 'gates'?",
        "ha_policy.yml: vms.priority: must be a whole number from 0 to 1000, not 'x'.",
    ]


def test_names_are_known_also_where_the_segments_file_is_wrong(files: t.Callable[..., str]) -> None:
    found = errors(files(SEGMENTS.replace("hosts: [cmp01]", "hosts: 5"), "segments: {rack1: {}, rack3: {}}"))
    assert [message.split(": ")[1] for message in found] == ["segments.rack1.hosts", "segments.rack3"]


def test_a_policy_that_is_named_and_not_there_is_an_error(files: t.Callable[..., str], tmp_path: Path) -> None:
    message = f"{tmp_path}/mine.yml: cannot be read: No such file or directory."
    assert errors(files(SEGMENTS + "policy_file: mine.yml\n")) == [message]
    assert errors(files(), str(tmp_path / "mine.yml")) == [message]


def test_a_policy_whose_link_leads_nowhere_is_an_error(files: t.Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "ha_policy.yml").symlink_to(tmp_path / "gone.yml")
    assert errors(files()) == [f"{tmp_path}/ha_policy.yml: cannot be read: No such file or directory."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("segments: {}", "plugin: must be openstack_ha.recovery.failover_segments, not None."),
        ("[1]", "must be a mapping, not a list."),
        ("", "must be a mapping, not None."),
        ("a: [", "is no YAML in line "),
        ("$ANSIBLE_VAULT;1.1;AES256\n6162", "is encrypted as a whole, and cannot be read here."),
        (SEGMENTS + "plugin: x\n", "plugin: stands twice in the file"),
        (SEGMENTS + "strct: true\n", "strct: unknown key. Did you mean 'strict'?"),
    ],
)
def test_what_is_no_segments_file_is_refused(files: t.Callable[..., str], text: str, message: str) -> None:
    assert errors(files(text))[0].startswith(f"x.failover_segments.yml: {message}")


def test_a_segments_file_that_ansible_would_not_take_for_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "segments.yml").write_text(SEGMENTS)
    assert errors(str(tmp_path / "segments.yml"))[0].startswith(
        "segments.yml: its name must end in failover_segments.yml"
    )


def test_vaulted_values_and_templates_are_no_errors_in_the_segments_file(files: t.Callable[..., str]) -> None:
    device = "{method: ipmi, address: '{{ x }}', username: u, password: !vault abc}"
    text = f"{SEGMENTS}fencing: [{{devices: [{device}]}}]\nauth: {{password: !vault abc}}\n"
    assert _configuration.load(files(text), None)[0].segments.fencing


def test_the_hash_of_the_segments_file_follows_what_it_says(files: t.Callable[..., str]) -> None:
    one = _configuration.load(files(), None)[0].segments_hash
    assert one == _configuration.load(files("# comment\n" + SEGMENTS), None)[0].segments_hash
    assert one != _configuration.load(files(SEGMENTS.replace("cmp02", "cmp03")), None)[0].segments_hash


def test_hooks_that_are_not_here_are_warned_about(files: t.Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "here.yml").write_text("[]")
    policy = f"hooks: {{on_failure: {{files: [{tmp_path}/here.yml, /nowhere/hook.yml]}}}}"
    found, _path = _configuration.load(files(policy=policy), None)
    assert found.policy.warnings == ["hooks.on_failure.files[1]: /nowhere/hook.yml is not here."]
    assert _configuration.load(files(policy=f"hooks: {{after_fence: {{files: [{tmp_path}/here.yml]}}}}"), None)[0]
