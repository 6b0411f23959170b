# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The segments file and the policy file, read and checked together. PRIVATE: may change at any time."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _policy_file, _segments_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC
from ansible_collections.openstack_ha.recovery.plugins.module_utils._config import (
    digest_of_text,
    errors_of,
    raise_all,
    read,
    refuse_duplicate_keys,
    wrong,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_file import Policy
from ansible_collections.openstack_ha.recovery.plugins.module_utils._segments_file import SegmentsFile

T = t.TypeVar("T")
Json = t.Dict[str, t.Any]

PLUGIN = "openstack_ha.recovery.failover_segments"
SEGMENTS_FILES = ("failover_segments.yml", "failover_segments.yaml")
POLICY_FILE = "ha_policy.yml"
#: Top-level keys of the segments file that are not about segments.
OTHER_KEYS = {
    *(name for option, spec in CLOUD_SPEC.items() for name in (option, *spec.get("aliases", ()))),
    *("plugin", "policy_file"),
    *("cache", "cache_connection", "cache_plugin", "cache_prefix", "cache_timeout"),
    *("compose", "groups", "keyed_groups", "leading_separator", "strict", "use_extra_vars"),
}


class File(t.NamedTuple):
    """A file and what stands in it."""

    path: str
    text: str


@dataclasses.dataclass(frozen=True)
class Configuration:
    """Both files, valid; the segments have what the policy says about their VMs."""

    segments: SegmentsFile
    policy: Policy
    segments_hash: str


def policy_path(segments_path: str, named: str | None) -> str | None:
    """Where the policy is: where the segments file says, or beside it; None where there is none."""
    directory = os.path.dirname(os.path.abspath(segments_path))
    path = os.path.join(directory, os.path.expanduser(named or POLICY_FILE))
    # A link that leads nowhere is a policy that got lost, not a wish for the defaults.
    return path if named or os.path.lexists(path) else None


def parse(
    config: t.Mapping[str, t.Any],
    segments: File,
    policy: File | None,
    other_keys: t.Collection[str] = frozenset(OTHER_KEYS),
) -> Configuration:
    """Check both files.

    :param config: What stands in the segments file, as it is to be used.
    :raises ConfigError: With everything that is wrong in either, a line each, that begins with the name of the file.
    """
    file, errors = _tried(segments.path, lambda: _segments(config, segments.text, other_keys))
    rules, more = _tried(policy.path if policy else "", lambda: _policy(policy, config))
    raise_all(errors + more)
    file, rules = t.cast(SegmentsFile, file), t.cast(Policy, rules)
    with_vms = _segments_file.with_policy(file, rules.values["vms"])
    return Configuration(with_vms, rules, digest_of_text(segments.text))


def load(segments_path: str, named_policy: str | None) -> tuple[Configuration, str | None]:
    """Read and check both files; the second value is where the policy is.

    :param named_policy: The policy file, instead of the one that the segments file names.
    :raises ConfigError: As :func:`parse`.
    """
    config, errors = _tried(segments_path, lambda: _load_segments(segments_path))
    raise_all(errors)
    config = t.cast(Json, config)
    path = policy_path(segments_path, named_policy or config.get("policy_file"))
    policy = File(path, contents(path)) if path else None
    found = parse(config, File(segments_path, contents(segments_path)), policy)
    told = [*found.policy.warnings, *_missing_hooks(found.policy.values["hooks"])]
    return dataclasses.replace(found, policy=dataclasses.replace(found.policy, warnings=told)), path


def _missing_hooks(hooks: Json) -> t.Iterator[str]:
    """Only a warning: the machine that checks may be another one than that on which recoveries run."""
    for phase, hook in hooks.items():
        for number, path in enumerate(hook["files"]):
            if not os.path.isfile(path):
                yield f"hooks.{phase}.files[{number}]: {path} is not here."


def contents(path: str) -> str:
    """The text of a file.

    :raises ConfigError: It cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _load_segments(path: str) -> Json:
    if not path.endswith(SEGMENTS_FILES):
        raise ConfigError(f"its name must end in {SEGMENTS_FILES[0]}, or Ansible does not take it for what it is.")
    config = read(contents(path))
    if not isinstance(config, dict):
        raise wrong("", "a mapping", config)
    if config.get("plugin") != PLUGIN:
        raise wrong("plugin", PLUGIN, config.get("plugin"))
    return config


def _segments(config: t.Mapping[str, t.Any], text: str, other_keys: t.Collection[str]) -> SegmentsFile:
    refuse_duplicate_keys(text)
    return _segments_file.parse(config, other_keys)


def _policy(policy: File | None, config: t.Mapping[str, t.Any]) -> Policy:
    return _policy_file.parse(read(policy.text), *_segments_file.names(config)) if policy else Policy()


def _tried(path: str, check: t.Callable[[], T]) -> tuple[T | None, list[ConfigError]]:
    try:
        return check(), []
    except ConfigError as error:
        name = os.path.basename(path)
        return None, [ConfigError(f"{name}: {message}" if name else message) for message in errors_of(error)]
