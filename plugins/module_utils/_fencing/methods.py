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
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    Device,
    Level,
    Method,
    Person,
    Wait,
    World,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.fence_agent import FenceAgent
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.ipmi import Ipmi
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.kdump import Kdump
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.operator import Operator
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.redfish import Redfish
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.watchdog import Watchdog

#: In alphabetical order.
METHODS: dict[str, type[Method]] = {
    "fence_agent": FenceAgent,
    "ipmi": Ipmi,
    "kdump": Kdump,
    "operator": Operator,
    "redfish": Redfish,
    "watchdog": Watchdog,
}

_Spec = t.Dict[str, t.Dict[str, t.Any]]
_Options = t.Dict[str, t.Any]
_Written = t.Tuple[t.Type[Method], _Options]

_DEVICES: _Spec = {"devices": {"type": "list", "required": True}}


def _device_spec() -> _Spec:
    """The options of all methods, without defaults: what a method does not know must be told from what it was given.

    The same holds for the options of a level.
    """
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
        "timeout": {"type": "float"},
        "tries": {"type": "int"},
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
        _level(number, level, [method(options, world) for method, options in written])
        for number, (level, written) in enumerate(_read(levels, path), start=1)
    ]


def _level(number: int, options: _Options, methods: list[Method]) -> Level:
    alone = next((method for method in methods if isinstance(method, (Wait, Person))), None)
    devices = [method for method in methods if isinstance(method, Device)]
    numbers = {key: options[key] for key in ("timeout", "tries") if key in options}
    return Level(number=number, devices=devices, alone=alone, **numbers)


def _read(levels: t.Any, path: str) -> t.Iterator[tuple[_Options, list[_Written]]]:
    if not isinstance(levels, list):
        raise ConfigError(f"{path}: must be a list of levels.")
    for number, given in enumerate(levels):
        here = f"{path}[{number}]"
        written = _written(given, here)
        kind = written[0][0]
        what = "a level" if issubclass(kind, Device) else f"a level with the method {kind.NAME}"
        level = _validated(given, {**_DEVICES, **kind.LEVEL}, here, what)
        _check_numbers(level, here)
        _check_order(written, number + 1 == len(levels), here)
        yield level, written


def _written(given: t.Any, path: str) -> list[_Written]:
    """The methods of a level, which decide what other options it may have."""
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: must be a mapping.")
    devices = given.get("devices")
    if devices is None:
        raise ConfigError(f"{path}: a level: missing required arguments: devices.")
    if not isinstance(devices, list) or not devices:
        raise ConfigError(f"{path}.devices: must name at least one device.")
    return [_device(device, f"{path}.devices[{place}]") for place, device in enumerate(devices)]


def _check_order(written: list[_Written], last: bool, path: str) -> None:
    for place, (method, options) in enumerate(written):
        if not issubclass(method, Device) and len(written) > 1:
            raise ConfigError(f"{path}.devices[{place}]: {method.NAME} must stand alone in its level.")
        if issubclass(method, Wait) and last and not method.can_prove(options):
            raise ConfigError(
                f"{path}.devices[{place}]: {method.NAME} proves nothing with these options, so a level must follow."
            )


def _device(given: t.Any, path: str) -> _Written:
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
    return method, checked


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
    timeout, tries = level.get("timeout", 1.0), level.get("tries", 1)
    if not _is_template(timeout) and not (timeout > 0 and math.isfinite(timeout)):
        raise ConfigError(f"{path}.timeout: must be a number of seconds greater than 0, not {timeout}.")
    if not _is_template(tries) and tries < 1:
        raise ConfigError(f"{path}.tries: must be at least 1, not {tries}.")


def _is_template(value: t.Any) -> bool:
    if isinstance(value, list):
        return any(_is_template(item) for item in value)
    return isinstance(value, str) and ("{{" in value or "{%" in value)
