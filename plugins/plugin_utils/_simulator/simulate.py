# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays stories for operators. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import fnmatch
import typing as t
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _replay
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import play, story

Json = t.Dict[str, t.Any]

_OURS = Path(__file__).parents[3] / "stories"
_SUMMARY = ("end", "harm")


def run(params: t.Mapping[str, t.Any], progress: t.Callable[[str], None]) -> Json:
    """List stories, or play those that are named."""
    root = Path(params["directory"]) if params["directory"] else _OURS
    directories = story.find(root)
    if not directories:
        raise RecoveryError(f"There are no stories in {root}.")
    if not params["stories"]:
        listed = [story.load(path, play.ALL_EVENTS) for path in directories]
        return {"changed": False, "stories": [_about(it) for it in listed], "harmed": [], "differs": []}
    policy = _replay.read_policy(params["policy_file"]) or {} if params["policy_file"] else None
    played = []
    for path in _chosen(directories, params["stories"], root):
        played.append(_play(path, policy))
        progress(_line(played[-1]))
    return {
        "changed": False,
        "stories": played,
        "harmed": [it["name"] for it in played if it["harm"] and not it["unavoidable"]],
        "differs": [it["name"] for it in played if it["differs"]],
    }


def _chosen(directories: list[Path], patterns: list[str], root: Path) -> list[Path]:
    wanted = ["*" if pattern == "all" else pattern for pattern in patterns]
    found = [path for path in directories if any(fnmatch.fnmatch(path.name, pattern) for pattern in wanted)]
    if not found:
        raise RecoveryError(f"No story in {root} is called {', '.join(patterns)}. Without a name, they are listed.")
    return found


def _about(found: story.Story) -> Json:
    return {"name": found.name, "about": found.about}


def _play(path: Path, policy: Json | None) -> Json:
    found = story.load(path, play.ALL_EVENTS)
    played = play.play(found, policy)
    expected = [line for line in found.expected.splitlines() if line.split(maxsplit=1)[0] in _SUMMARY]
    came = [line for line in played.log.splitlines() if line.split(maxsplit=1)[0] in _SUMMARY]
    return {
        **_about(found),
        "log": played.log.splitlines(),
        "outcome": played.outcome,
        "expected": [line.split(maxsplit=1)[1] for line in expected if line.split()[0] == "end"],
        "harm": played.harm,
        "unavoidable": found.given.harm or "",
        "differs": came != expected,
        "difference": found.difference(played.log).splitlines(),
    }


def _line(played: Json) -> str:
    word = "HARM" if played["harm"] else "differs" if played["differs"] else "as expected"
    return f"{played['name']}: {word}"
