# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of fencing methods, and the reading of levels. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import difflib
import math
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import Device, Level, World
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.fence_agent import FenceAgent
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.ipmi import Ipmi
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.operator import Operator
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.redfish import Redfish

#: In alphabetical order.
METHODS: dict[str, type[Device]] = {
    "fence_agent": FenceAgent,
    "ipmi": Ipmi,
    "operator": Operator,
    "redfish": Redfish,
}

_Spec = t.Dict[str, t.Dict[str, t.Any]]

_LEVEL_SPEC: _Spec = {
    "timeout": {"type": "float", "default": 30.0},
    "tries": {"type": "int", "default": 2},
    "devices": {"type": "list", "required": True},
}


def _device_spec() -> _Spec:
    """The options of all methods, without defaults: what a method does not know must be told from what it was given."""
    spec: _Spec = {"method": {"type": "str", "required": True, "choices": list(METHODS)}}
    for method in METHODS.values():
        for name, option in method.OPTIONS.items():
            spec[name] = {key: value for key, value in option.items() if key not in ("default", "required")}
            spec[name].setdefault("no_log", False)
    return spec


#: The option ``levels`` of the modules.
LEVELS_SPEC: dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        **_LEVEL_SPEC,
        "devices": {"type": "list", "required": True, "elements": "dict", "options": _device_spec()},
    },
}


def validate_levels(levels: t.Any, path: str) -> None:
    """Check levels as they are written down; values that are still templates are not looked into.

    :raises ConfigError: The message starts with the path of what is wrong.
    """
    for _level, _devices in _read(levels, path):
        pass


def parse_levels(levels: t.Any, world: World, path: str = "levels") -> list[Level]:
    """Make the devices of levels in which every template is resolved.

    :raises ConfigError: The message starts with the path of what is wrong.
    """
    return [
        Level(
            number=number,
            devices=[METHODS[method](options, world) for method, options in devices],
            timeout=level["timeout"],
            tries=level["tries"],
        )
        for number, (level, devices) in enumerate(_read(levels, path), start=1)
    ]


def _read(levels: t.Any, path: str) -> t.Iterator[tuple[dict[str, t.Any], list[tuple[str, dict[str, t.Any]]]]]:
    if not isinstance(levels, list):
        raise ConfigError(f"{path}: must be a list of levels.")
    for number, given in enumerate(levels):
        here = f"{path}[{number}]"
        level = _validated(given, _LEVEL_SPEC, here, "a level")
        _check_numbers(level, here)
        if not level["devices"]:
            raise ConfigError(f"{here}.devices: must name at least one device.")
        yield level, [_device(device, f"{here}.devices[{place}]") for place, device in enumerate(level["devices"])]


def _device(given: t.Any, path: str) -> tuple[str, dict[str, t.Any]]:
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: must be a mapping with the key 'method' and the options of that method.")
    options = dict(given)
    name = options.pop("method", None)
    if name not in METHODS:
        raise ConfigError(f"{path}.method: must be one of {', '.join(METHODS)}, not {name!r}.")
    method = METHODS[name]
    checked = _validated(options, method.OPTIONS, path, f"method {name}")
    try:
        method.check({key: value for key, value in checked.items() if not _is_template(value)})
    except ConfigError as error:
        raise ConfigError(f"{path}.{error.message}") from error
    return name, checked


def _validated(given: t.Any, spec: _Spec, path: str, what: str) -> dict[str, t.Any]:
    """The options with types and defaults; templates stay as they are. None counts as not given."""
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: must be a mapping.")
    given = {key: value for key, value in given.items() if value is not None}
    for key in given:
        if key not in spec:
            near = difflib.get_close_matches(str(key), spec, 1)
            hint = f"Did you mean '{near[0]}'?" if near else f"Its options: {', '.join(sorted(spec)) or 'none'}."
            raise ConfigError(f"{path}.{key}: is not an option of {what}. {hint}")
    templates = {key: value for key, value in given.items() if _is_template(value)}
    result = ArgumentSpecValidator({key: option for key, option in spec.items() if key not in templates}).validate(
        {key: value for key, value in given.items() if key not in templates}
    )
    if result.error_messages:
        raise ConfigError(f"{path}: {what}: {'; '.join(result.error_messages)}.")
    return {**result.validated_parameters, **templates}


def _check_numbers(level: t.Mapping[str, t.Any], path: str) -> None:
    timeout, tries = level["timeout"], level["tries"]
    if not _is_template(timeout) and not (timeout > 0 and math.isfinite(timeout)):
        raise ConfigError(f"{path}.timeout: must be a number of seconds greater than 0, not {timeout}.")
    if not _is_template(tries) and tries < 1:
        raise ConfigError(f"{path}.tries: must be at least 1, not {tries}.")


def _is_template(value: t.Any) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)
