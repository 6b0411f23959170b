# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One authenticated OpenStack cloud. PRIVATE to this collection: may change at any time.

Requests go through openstacksdk's configuration and keystoneauth's session, as plain JSON: the
recovery needs a dozen calls with exact microversions, and none of the SDK's resource objects.
"""

from __future__ import annotations

import dataclasses
import functools
import json as jsonlib
import logging
import threading
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, RecoveryError

try:
    import openstack
    from keystoneauth1 import adapter as ksa_adapter
    from keystoneauth1 import exceptions as ksa_exceptions
except ImportError:
    openstack = None  # type: ignore[assignment]  # reported by connect()

Json = t.Dict[str, t.Any]
Asked = t.TypeVar("Asked")

# Without any handler its warnings about retries would go to standard error, which belongs to Ansible.
logging.getLogger("keystoneauth").addHandler(logging.NullHandler())

#: Named as in openstack.cloud, so that operators meet no new words.
CLOUD_SPEC: dict[str, t.Any] = {
    "cloud": {"type": "raw"},
    "auth": {"type": "dict", "no_log": True},
    "auth_type": {"type": "str"},
    "region_name": {"type": "str"},
    "validate_certs": {"type": "bool", "aliases": ["verify"]},
    "ca_cert": {"type": "str", "aliases": ["cacert"]},
    "client_cert": {"type": "str", "aliases": ["cert"]},
    "client_key": {"type": "str", "no_log": True, "aliases": ["key"]},
    "interface": {"type": "str", "choices": ["admin", "internal", "public"], "aliases": ["endpoint_type"]},
    "api_timeout": {"type": "int", "default": 60},
}
_SDK_NAMES = {"ca_cert": "cacert", "client_cert": "cert", "client_key": "key", "validate_certs": "verify"}

#: Answers that say "later", not "no". 500 is among them: Nova answers it while its database fails over.
_RETRIED = [429, 500, 502, 503, 504]
_RETRIES = 5  # with a delay that begins with half a second and doubles: 15 s before the failure is reported
_FIRST_DELAY = 0.5  # keystoneauth's own; if it is told one, it does not double it
_TOKENS = 3  # a token that was good a moment ago may be refused once more while Keystone is failing over

#: Neutron's catalog entry names no version, so it must be discovered; the other entries name theirs.
_VERSIONS: dict[str, dict[str, t.Any]] = {"network": {"min_version": "2.0", "max_version": "2.latest"}}

#: Keystone token and newest compute microversion by connection options. The inventory plugin fills it in
#: the parent of all tasks, and their forks inherit it: one token for the whole run, never on disk.
_REMEMBERED: dict[str, tuple[str, tuple[int, int]]] = {}


@dataclasses.dataclass
class Answer:
    """What an API said: ``body`` is {} when there was none."""

    status: int
    body: Json
    request_id: str


class Cloud:
    """An authenticated cloud; made by :func:`connect`."""

    def __init__(self, connection: t.Any, key: str) -> None:
        self._connection = connection
        self._key = key
        self._adapters: dict[str, t.Any] = {}
        self._max_microversion: tuple[int, int] | None = None
        self._lock = threading.Lock()
        if key in _REMEMBERED:
            state, self._max_microversion = _REMEMBERED[key]
            connection.session.auth.set_auth_state(state)

    @property
    def region(self) -> str:
        """The region's name: the scope in which host names are unique."""
        return str(self._connection.config.get_region_name() or "RegionOne")

    @property
    def user_id(self) -> str:
        """The account that is used here."""
        try:
            return str(_patiently(self._connection.session.get_user_id))
        except ksa_exceptions.ClientException as error:
            raise _unreachable("Keystone has not told who we are", error) from error

    def of_project(self, project_id: str) -> Cloud:
        """The same user in another project, which must have given it a role there.

        :raises CloudError: Keystone says no, or is away.
        """
        try:
            if self._connection.current_project_id == project_id:
                return self
            connection = self._connection.connect_as_project({"id": project_id})
            _patiently(connection.session.get_token)
        except Exception as error:  # openstacksdk raises from several unrelated hierarchies here
            raise CloudError(f"No token for project {project_id}: {error}", status=None, answer=str(error)) from error
        return Cloud(connection, f"{self._key} in project {project_id}")

    def has(self, service: str) -> bool:
        """Whether the catalog knows an endpoint of this service type."""
        try:
            return bool(_patiently(self._adapter(service).get_endpoint))
        except ksa_exceptions.EndpointNotFound:
            return False
        except ksa_exceptions.ClientException as error:
            raise _unreachable(f"The catalog has not told whether there is a service {service}", error) from error

    def supports(self, microversion: str) -> bool:
        """Whether Nova's API knows this compute microversion."""
        return _version(microversion) <= self._compute_maximum()

    def best_microversion(self, wanted: str) -> str:
        """The wanted compute microversion, or Nova's newest where that is older."""
        return "{}.{}".format(*min(_version(wanted), self._compute_maximum()))

    def request(
        self,
        method: str,
        service: str,
        path: str,
        microversion: str | None = None,
        params: t.Any = None,
        json: Json | None = None,
        retry: bool | None = None,
    ) -> Answer:
        """Make one API call.

        :param retry: Repeat when the API is unreachable or answers 429/5xx. Default: all but POST,
            because a POST that got no answer may have been obeyed.
        :raises CloudError: with facts ``status`` (None when there was no answer) and ``answer``.
        """
        retries = _RETRIES if (method != "POST" if retry is None else retry) else 0
        send = functools.partial(
            self._adapter(service).request,
            path,
            method,
            microversion=microversion,
            params=params,
            json=json,
            raise_exc=False,
            allow_reauth=False,
            connect_retries=retries,
            status_code_retries=retries,
            retriable_status_codes=_RETRIED,
        )
        try:
            response = self._with_token(send)
        except ksa_exceptions.ClientException as error:
            raise _unreachable(f"{method} {service} {path}: no answer", error) from error
        return _answer(method, service, path, response)

    def _with_token(self, send: t.Callable[[], t.Any]) -> t.Any:
        """Send with a valid token; one that is refused was refused before the call was looked at.

        keystoneauth could renew it too, but gives up in all but the first of several threads that see it expire.
        """
        refused = None
        for _attempt in range(_TOKENS):
            token = self._token(refused)
            response = send()
            if response.status_code != 401:
                break
            refused = token
        return response

    def _token(self, refused: str | None) -> str | None:
        """The token to use, a new one if there is none or if it is the refused one."""
        session = self._connection.session
        with self._lock:
            known = getattr(session.auth, "auth_ref", None)
            if refused and known and known.auth_token == refused:
                session.auth.invalidate()
        token: str | None = _patiently(lambda: session.auth.get_token(session))
        return token

    def ask_once(self, service: str, version: str, path: str, seconds: float) -> Json:
        """GET what a recovery can do without: one try, and the token that is at hand.

        :param version: Put before the path, unless the catalog has that already: nobody need be asked which there are.
        :raises CloudError: As :meth:`request`.
        """
        adapter = self._adapter(service)
        try:
            self._token(None)
            has_version = str(adapter.get_endpoint()).rstrip("/").endswith(f"/{version}")
            url = path if has_version else f"/{version}{path}"
            response = adapter.request(url, "GET", raise_exc=False, allow_reauth=False, timeout=seconds)
        except ksa_exceptions.ClientException as error:
            raise _unreachable(f"GET {service} {path}: no answer", error) from error
        return _answer("GET", service, path, response).body

    def get(self, service: str, path: str, microversion: str | None = None, **params: t.Any) -> Json:
        """GET and return the body."""
        return self.request("GET", service, path, microversion, params=params).body

    def remember(self) -> None:
        """Keep what was learnt in this process, for the tasks that are forked from it."""
        state = self._connection.session.auth.get_auth_state()
        if state:
            _REMEMBERED[self._key] = (state, self._compute_maximum())

    def _adapter(self, service: str) -> t.Any:
        if service not in self._adapters:
            config = self._connection.config
            self._adapters[service] = ksa_adapter.Adapter(
                self._connection.session,
                service_type=service,
                interface=config.get_interface(service),
                region_name=config.get_region_name(service),
                endpoint_override=config.get_endpoint(service),
                **_VERSIONS.get(service, {}),
            )
        return self._adapters[service]

    def _compute_maximum(self) -> tuple[int, int]:
        if self._max_microversion is None:
            try:
                data = _patiently(self._adapter("compute").get_endpoint_data)
            except ksa_exceptions.ClientException as error:
                raise _unreachable("Nova's API has not told its microversions", error) from error
            if not data or not data.max_microversion:
                raise CloudError("The compute API tells no microversion range; Nova with API 2.53 or newer is needed.")
            self._max_microversion = (data.max_microversion[0], data.max_microversion[1])
        return self._max_microversion


def connect(params: t.Mapping[str, t.Any]) -> Cloud:
    """Connect with the options of :data:`CLOUD_SPEC`, falling back to clouds.yaml and OS_* variables.

    :raises RecoveryError: openstacksdk is missing, or the options name no usable cloud.
    """
    if openstack is None:
        raise RecoveryError("The Python package openstacksdk (>= 4.0.0) is not installed where this task runs.")
    options = {_SDK_NAMES.get(k, k): params[k] for k in CLOUD_SPEC if params.get(k) is not None}
    key = jsonlib.dumps(options, sort_keys=True, default=str)
    if isinstance(options.get("cloud"), dict):
        options = {**options.pop("cloud"), **options}
    try:
        connection = openstack.connect(app_name="openstack_ha.recovery", **options)
    except Exception as error:  # openstacksdk raises from several unrelated hierarchies here
        raise CloudError(
            f"Cannot connect to the cloud {params.get('cloud') or '(from auth or OS_* variables)'}: {error} "
            "Check clouds.yaml, the option cloud, or auth."
        ) from error
    return Cloud(connection, key)


def _patiently(ask: t.Callable[[], Asked]) -> Asked:
    """Ask Keystone, or for a version document, again while they are away: keystoneauth does not."""
    for number in range(_RETRIES):
        try:
            return ask()
        except (  # noqa: PERF203  # the point of the loop
            ksa_exceptions.RetriableConnectionFailure,
            ksa_exceptions.HttpServerError,
            ksa_exceptions.DiscoveryFailure,
        ):
            time.sleep(_FIRST_DELAY * 2**number)
    return ask()


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def _unreachable(tried: str, error: Exception) -> CloudError:
    return CloudError(f"{tried}: {error}", status=None, answer=str(error))


def _answer(method: str, service: str, path: str, response: t.Any) -> Answer:
    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = {}
    request_id = response.headers.get("x-openstack-request-id", "")
    if response.status_code >= 400:
        said = _message(body) or response.text[:300]
        raise CloudError(
            f"{method} {service} {path}: HTTP {response.status_code}: {said}",
            status=response.status_code,
            answer=said,
            request_id=request_id,
        )
    return Answer(response.status_code, body if isinstance(body, dict) else {"items": body}, request_id)


def _message(body: t.Any) -> str:
    """The sentence inside an OpenStack error document, whose outer key differs between services."""
    if not isinstance(body, dict):
        return ""
    for value in body.values():
        if isinstance(value, dict) and "message" in value:
            return str(value["message"])
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return str(value[0].get("detail") or value[0].get("title") or "")
    return ""
