# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A story: a directory with what is given, what happens, and what must come out. PRIVATE: may change at any time."""

from __future__ import annotations

import dataclasses
import difflib
import typing as t
from pathlib import Path

import yaml

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import given as givens
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.words import mapping, seconds

README, GIVEN, TIMELINE, EXPECTED = "README.md", "given.yml", "timeline.yml", "expected.log"


@dataclasses.dataclass(frozen=True)
class Moment:
    """One entry of the timeline."""

    at: float
    event: str
    what: t.Any
    path: str


@dataclasses.dataclass(frozen=True)
class Story:
    """What is in the directory.

    :param about: The README: what happens, what must come out.
    """

    name: str
    directory: Path
    about: list[str]
    given: givens.Given
    timeline: list[Moment]

    @property
    def expected(self) -> str:
        """What must come out, empty if nobody has recorded it."""
        path = self.directory / EXPECTED
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def difference(self, log: str) -> str:
        """A unified diff from what must come out to what came out."""
        names = (f"{self.name}/{EXPECTED}", "this time")
        lines = difflib.unified_diff(self.expected.splitlines(), log.splitlines(), *names, lineterm="", n=2)
        return "\n".join(lines)


def load(directory: Path, events: t.Collection[str]) -> Story:
    """Read and check a story.

    :raises ConfigError: Names file and path of what is wrong.
    """
    about = [line for line in _text(directory / README).splitlines() if line.strip() and not line.startswith("#")]
    if len(about) != 2:
        raise ConfigError(
            f"{directory.name}/{README}: must have two lines below its title, what happens and what must come out; "
            f"it has {len(about)}."
        )
    given = givens.read(_yaml(directory / GIVEN), f"{directory.name}/{GIVEN}")
    timeline = _timeline(_yaml(directory / TIMELINE), f"{directory.name}/{TIMELINE}", events)
    return Story(directory.name, directory, about, given, timeline)


def find(root: Path) -> list[Path]:
    """The directories of all stories below a directory."""
    return sorted(path.parent for path in root.glob(f"*/{GIVEN}"))


def _timeline(data: t.Any, path: str, events: t.Collection[str]) -> list[Moment]:
    if not isinstance(data, list):
        raise ConfigError(f"{path}: must be a list of events, each with the key 'at'.")
    found = [_moment(entry, f"{path}[{number}]", events) for number, entry in enumerate(data)]
    for earlier, later in zip(found, found[1:]):
        if later.at < earlier.at:
            raise ConfigError(f"{later.path}.at: is before the entry above it.")
    return found


def _moment(entry: t.Any, path: str, events: t.Collection[str]) -> Moment:
    known = dict.fromkeys(("at", *events))
    rest = mapping(entry, known, path)
    if "at" not in rest:
        raise ConfigError(f"{path}.at: is missing: when does it happen?")
    at = seconds(rest.pop("at"), f"{path}.at")
    if len(rest) != 1:
        raise ConfigError(f"{path}: must have one event beside 'at', not {', '.join(rest) or 'none'}.")
    event, what = next(iter(rest.items()))
    return Moment(at, event, what, f"{path}.{event}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path.parent.name}/{path.name}: {error.strerror}.") from error


def _yaml(path: Path) -> t.Any:
    try:
        return yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path.parent.name}/{path.name}: is no YAML: {error}") from error
