from __future__ import annotations

import concurrent.futures
import typing as t

import pytest
from unit.fakes.api import Api, serving

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Cloud, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, RecoveryError

SERVICES = "/nova/v2.1/os-services"
BUSY = {"computeFault": {"message": "The database is failing over."}}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> t.Iterator[Api]:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "none.yaml"))
    monkeypatch.setattr(_cloud, "_REMEMBERED", {})
    with serving() as it:
        yield it


@pytest.fixture
def cloud(api: Api) -> Cloud:
    return connect(api.params())


def test_an_answer_is_its_body_with_the_request_id(api: Api, cloud: Cloud) -> None:
    api.answers[("GET", SERVICES)] = [(200, {"services": []})]
    answer = cloud.request("GET", "compute", "/os-services", "2.53")
    assert (answer.status, answer.body, answer.request_id) == (200, {"services": []}, "req-1")
    assert api.seen[-1] == ("GET", SERVICES, "compute 2.53")


def test_an_answer_without_a_body_is_an_empty_document(api: Api, cloud: Cloud) -> None:
    api.answers[("POST", "/nova/v2.1/servers/a/action")] = [(202, None)]
    assert cloud.request("POST", "compute", "/servers/a/action", json={"os-stop": None}).body == {}


def test_one_token_serves_many_calls_and_services(api: Api, cloud: Cloud) -> None:
    api.answers[("GET", SERVICES)] = [(200, {})]
    api.answers[("GET", "/placement/resource_providers")] = [(200, {})]
    for _attempt in range(3):
        cloud.get("compute", "/os-services")
        cloud.get("placement", "/resource_providers")
    assert api.tokens == 1


def test_a_remembered_token_is_used_by_the_next_connection_with_the_same_options(api: Api, cloud: Cloud) -> None:
    api.answers[("GET", SERVICES)] = [(200, {})]
    cloud.get("compute", "/os-services")
    cloud.remember()
    connect(api.params()).get("compute", "/os-services")
    assert api.tokens == 1
    connect(api.params(api_timeout=6)).get("compute", "/os-services")
    assert api.tokens == 2


def test_a_token_that_has_expired_is_renewed_once(api: Api, cloud: Cloud) -> None:
    api.answers[("GET", SERVICES)] = [(401, {"error": {"message": "expired"}}), (200, {"services": [1]})]
    assert cloud.get("compute", "/os-services") == {"services": [1]}
    assert api.tokens == 2


def test_a_token_that_expires_is_renewed_by_each_of_many_threads(api: Api, cloud: Cloud) -> None:
    api.answers[("GET", SERVICES)] = [(200, {})]
    cloud.get("compute", "/os-services")
    api.accepted = {"token-2"}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _number: cloud.get("compute", "/os-services"), range(32)))
    assert answers == [{}] * 32
    assert api.tokens == 2


def test_a_post_whose_token_has_expired_is_sent_again_because_it_was_not_looked_at(api: Api, cloud: Cloud) -> None:
    path = "/nova/v2.1/servers/a/action"
    api.answers[("POST", path)] = [(401, {"error": {"message": "expired"}}), (202, None)]
    assert cloud.request("POST", "compute", "/servers/a/action", "2.53", json={"evacuate": {}}).status == 202


def test_no_token_is_good_enough_only_a_few_times(api: Api, cloud: Cloud) -> None:
    api.answers[("GET", SERVICES)] = [(401, {"error": {"message": "not you"}})]
    with pytest.raises(CloudError, match="not you"):
        cloud.get("compute", "/os-services")
    assert len(api.asked(SERVICES)) == 3


def test_a_keystone_in_trouble_is_asked_again(api: Api, cloud: Cloud) -> None:
    api.answers[("GET", SERVICES)] = [(200, {})]
    api.troubled_tokens = 2
    assert cloud.get("compute", "/os-services") == {}
    assert api.tokens == 3


def test_the_delay_between_two_tries_doubles(api: Api, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    api.answers[("GET", SERVICES)] = [(503, BUSY)]
    with pytest.raises(CloudError, match="failing over"):
        cloud.get("compute", "/os-services")
    assert [pause for pause in pauses if pause >= 0.5] == [0.5, 1, 2, 4, 8]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_reading_is_repeated_when_the_api_says_later(api: Api, cloud: Cloud, status: int) -> None:
    api.answers[("GET", SERVICES)] = [(status, BUSY), (200, {"services": []})]
    assert cloud.get("compute", "/os-services") == {"services": []}
    assert len(api.asked(SERVICES)) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_post_is_never_repeated_by_itself(api: Api, cloud: Cloud, status: int) -> None:
    path = "/nova/v2.1/servers/a/action"
    api.answers[("POST", path)] = [(status, BUSY), (202, None)]
    with pytest.raises(CloudError) as caught:
        cloud.request("POST", "compute", "/servers/a/action", "2.53", json={"evacuate": {}})
    assert api.asked(path) == ["POST"]
    assert caught.value.facts["status"] == status


def test_a_refusal_names_the_call_and_novas_own_words(api: Api, cloud: Cloud) -> None:
    api.answers[("GET", SERVICES)] = [(403, {"forbidden": {"message": "Policy doesn't allow it.", "code": 403}})]
    with pytest.raises(CloudError) as caught:
        cloud.get("compute", "/os-services", "2.53")
    assert caught.value.message == "GET compute /os-services: HTTP 403: Policy doesn't allow it."
    assert caught.value.facts == {"status": 403, "answer": "Policy doesn't allow it.", "request_id": "req-1"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "unauthorized"}}, "unauthorized"),
        ({"errors": [{"title": "Conflict", "detail": "generation differs"}]}, "generation differs"),
        ({"errors": [{"title": "Conflict"}]}, "Conflict"),
        ({"NeutronError": {"type": "X", "message": "no port", "detail": ""}}, "no port"),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        ([], "[]"),
    ],
)
def test_the_sentence_is_found_in_the_errors_of_all_services(api: Api, cloud: Cloud, body: t.Any, said: str) -> None:
    api.answers[("GET", SERVICES)] = [(400, body)]
    with pytest.raises(CloudError) as caught:
        cloud.get("compute", "/os-services")
    assert caught.value.facts["answer"] == said


def test_an_api_that_cannot_be_reached_has_no_status(api: Api, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cloud, "_RETRIES", 0)
    api.answers[("GET", SERVICES)] = [(200, {})]
    cloud.get("compute", "/os-services")
    cloud._adapter("compute").endpoint_override = "http://127.0.0.1:9/"
    with pytest.raises(CloudError, match="GET compute /os-services: no answer") as caught:
        cloud.get("compute", "/os-services")
    assert caught.value.facts["status"] is None


@pytest.mark.parametrize(
    ("newest", "wanted", "best"), [("2.96", "2.94", "2.94"), ("2.68", "2.94", "2.68"), ("2.104", "2.96", "2.96")]
)
def test_microversions_are_compared_as_numbers(api: Api, cloud: Cloud, newest: str, wanted: str, best: str) -> None:
    api.versions["version"] = newest
    assert cloud.best_microversion(wanted) == best
    assert cloud.supports(wanted) == (best == wanted)


def test_an_api_without_microversions_is_too_old(api: Api, cloud: Cloud) -> None:
    api.versions = {}
    with pytest.raises(CloudError, match=r"2\.53"):
        cloud.supports("2.53")


@pytest.mark.parametrize("ask", [lambda cloud: cloud.supports("2.53"), lambda cloud: cloud.has("network")])
def test_a_keystone_that_stays_away_is_an_error_of_the_cloud(
    api: Api, ask: t.Callable[[Cloud], t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cloud, "_RETRIES", 0)
    params = api.params()
    params["auth"]["auth_url"] = "http://127.0.0.1:9/v3"
    with pytest.raises(CloudError, match=r"127\.0\.0\.1:9"):
        ask(connect(params))


def test_services_that_the_catalog_does_not_have_are_known_to_be_missing(cloud: Cloud) -> None:
    assert cloud.has("placement")
    assert not cloud.has("network")
    assert cloud.region == "RegionOne"


def test_a_cloud_may_be_given_as_a_dictionary(api: Api) -> None:
    api.answers[("GET", SERVICES)] = [(200, {})]
    entry = {"auth": api.params()["auth"], "region_name": "RegionOne"}
    assert connect({"cloud": entry, "api_timeout": 5}).get("compute", "/os-services") == {}


def test_a_cloud_that_is_not_configured_is_named_with_what_to_check() -> None:
    with pytest.raises(CloudError, match=r"Cannot connect to the cloud nowhere.*Check clouds.yaml"):
        connect({"cloud": "nowhere"})


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cloud, "openstack", None)
    with pytest.raises(RecoveryError, match="openstacksdk"):
        connect({})


def test_the_password_is_in_no_error(api: Api) -> None:
    api.answers[("GET", SERVICES)] = [(500, {"computeFault": {"message": "x"}})]
    with pytest.raises(CloudError) as caught:
        connect(api.params()).request("GET", "compute", "/os-services", retry=False)
    assert "hunter2" not in repr((caught.value, caught.value.facts))


def test_what_is_secret_is_marked() -> None:
    assert {name for name, option in CLOUD_SPEC.items() if option.get("no_log")} == {"auth", "client_key"}


@pytest.mark.parametrize(
    ("service", "version", "path"),
    [("compute", "v2.1", "/nova/v2.1/images/a"), ("placement", "v2", "/placement/v2/images/a")],
)
def test_what_can_be_done_without_is_asked_for_in_the_version_that_is_meant(
    api: Api, cloud: Cloud, service: str, version: str, path: str
) -> None:
    api.answers[("GET", path)] = [(200, {"name": "a"})]
    assert cloud.ask_once(service, version, "/images/a", 5.0) == {"name": "a"}
    assert api.asked(path) == ["GET"]


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_what_can_be_done_without_is_asked_for_once_and_costs_no_new_token(api: Api, cloud: Cloud, status: int) -> None:
    api.answers[("GET", SERVICES)] = [(200, {})]
    cloud.get("compute", "/os-services")
    api.answers[("GET", "/placement/v2/images/a")] = [(status, {"error": {"message": "no"}}), (200, {})]
    with pytest.raises(CloudError) as caught:
        cloud.ask_once("placement", "v2", "/images/a", 5.0)
    assert caught.value.facts["status"] == status
    assert (api.asked("/placement/v2/images/a"), api.tokens) == (["GET"], 1)


def test_a_service_that_is_not_there_is_an_answer_too(cloud: Cloud) -> None:
    with pytest.raises(CloudError) as caught:
        cloud.ask_once("image", "v2", "/images/a", 5.0)
    assert caught.value.facts["status"] is None
