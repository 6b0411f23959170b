# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all configuration files have in common: the words of errors, and YAML that hides nothing. PRIVATE: may change.

Every error starts with the path of the wrong key. Where several keys are wrong, all are told, a line each.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import typing as t
import urllib.parse

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]  # reported by _composed()

T = t.TypeVar("T")


def each(check: t.Callable[..., T], items: t.Iterable[tuple[t.Any, ...]]) -> list[T]:
    """What the check makes of every item; what is wrong with several items is raised as one error."""
    outcomes = [_tried(check, item) for item in items]
    raise_all([outcome for outcome in outcomes if isinstance(outcome, ConfigError)])
    return t.cast("list[T]", outcomes)


def _tried(check: t.Callable[..., T], item: tuple[t.Any, ...]) -> T | ConfigError:
    try:
        return check(*item)
    except ConfigError as error:
        return error


def raise_all(errors: t.Sequence[ConfigError]) -> None:
    """Raise one error with all that is wrong, if anything is."""
    if errors:
        messages = [message for error in errors for message in errors_of(error)]
        raise ConfigError("\n".join(messages), errors=messages)


def errors_of(error: ConfigError) -> list[str]:
    """The single errors that one stands for."""
    return list(error.facts.get("errors") or [error.message])


def below(path: str, key: t.Any) -> str:
    """The path of a key, or of an item of a list."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


def unknown_key(path: str, key: t.Any, known: t.Collection[str]) -> ConfigError:
    """An error with the known key that is nearest."""
    return ConfigError(f"{below(path, str(key))}: unknown key. {nearest(key, known, 'Known keys here')}")


def nearest(name: t.Any, known: t.Collection[str], all_of_them: str) -> str:
    """A sentence that helps who has mistyped a name."""
    near = difflib.get_close_matches(str(name), known, 1)
    return f"Did you mean '{near[0]}'?" if near else f"{all_of_them}: {', '.join(sorted(known)) or 'none'}."


def wrong(path: str, expected: str, value: t.Any) -> ConfigError:
    """An error that says what must be there and what is."""
    got = repr(value) if isinstance(value, (str, int, float, type(None))) else f"a {_yaml_type(value)}"
    return ConfigError(f"{path}{': ' if path else ''}must be {expected}, not {got}.")


def _yaml_type(value: t.Any) -> str:
    return "mapping" if isinstance(value, dict) else "list" if isinstance(value, list) else "special value"


def is_endpoint(text: str) -> bool:
    """Whether it is tcp://address:port and nothing else."""
    try:
        url = urllib.parse.urlsplit(text)
        return url.scheme == "tcp" and bool(url.hostname and url.port) and not (url.path or url.query or url.fragment)
    except ValueError:
        return False


def is_template(text: str) -> bool:
    """Whether Ansible would resolve something in it."""
    return "{{" in text or "{%" in text


def digest(value: t.Any) -> str:
    """A hash of plain data that does not depend on the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_text(text: str) -> str:
    """A hash of what a YAML file says, not of how; what is vaulted counts as it is encrypted, templates as written."""
    return digest(_canonical(_composed(text)))


def read(text: str) -> t.Any:
    """The contents of a YAML file as plain data; a value with a tag of Ansible becomes a :class:`Tagged`.

    :raises ConfigError: It is no YAML, or a key stands twice in it.
    """
    if text.startswith("$ANSIBLE_VAULT;"):
        raise ConfigError("is encrypted as a whole, and cannot be read here.")
    refuse_duplicate_keys(text)
    try:
        return yaml.load(io.StringIO(text), Loader=_loader())
    except (yaml.YAMLError, ValueError) as error:
        raise _no_yaml(error) from None


class Tagged:
    """A value that only Ansible can make sense of, as a vaulted one."""


def _loader() -> t.Any:
    class Loader(_safe_loader()):  # type: ignore[misc]
        """Knows the tags of Ansible."""

    for tag in ("!vault", "!vault-encrypted"):
        Loader.add_constructor(tag, lambda loader, node: Tagged())
    Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
    return Loader


def _safe_loader() -> t.Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def refuse_duplicate_keys(text: str) -> None:
    """Raise ConfigError when a mapping has a key twice: YAML would take the last, and say nothing."""
    try:
        raise_all(list(_duplicates(_composed(text), "")))
    except RecursionError:
        raise ConfigError("is nested too deeply, or contains itself by an alias.") from None


def _composed(text: str) -> t.Any:
    if yaml is None:
        raise RecoveryError("The Python package PyYAML is needed to read the configuration; install it.")
    try:
        # A stream, because libyaml refuses Ansible's tagged strings.
        return yaml.compose(io.StringIO(text), Loader=_safe_loader())
    except yaml.YAMLError as error:
        raise _no_yaml(error) from None


def _no_yaml(error: Exception) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}" if mark else ""
    return ConfigError(f"is no YAML{where}: {getattr(error, 'problem', None) or error}.".replace("\n", " "))


def _duplicates(node: t.Any, path: str) -> t.Iterator[ConfigError]:
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _duplicates(item, below(path, number))
    elif isinstance(node, yaml.MappingNode):
        lines: dict[t.Any, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield ConfigError(f"{path or 'the file'}: a key in line {key.start_mark.line + 1} must be a string.")
                continue
            here, line = below(path, key.value), key.start_mark.line + 1
            if key.value in lines:
                yield ConfigError(
                    f"{here}: stands twice in the file, in lines {lines[key.value]} and {line}; merge them."
                )
            lines[key.value] = line
            yield from _duplicates(value, here)


def _canonical(node: t.Any) -> t.Any:
    if node is None:
        return None
    if isinstance(node, yaml.SequenceNode):
        return [_canonical(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {key.value: _canonical(value) for key, value in node.value}
    return [node.tag, node.value]
