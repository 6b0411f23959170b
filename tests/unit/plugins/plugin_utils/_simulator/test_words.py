"""The language of stories, and its errors."""

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import words


@pytest.mark.parametrize(
    ("text", "wanted"), [(90, 90.0), ("30 s", 30.0), ("2 min", 120.0), ("1 h 30 min", 5400.0), ("-1 h", -3600.0)]
)
def test_times_are_read_as_people_write_them(text: object, wanted: float) -> None:
    assert words.seconds(text, "here") == wanted


@pytest.mark.parametrize("text", ["", "soon", "3 weeks", "2 min later", True, None])
def test_what_is_no_time_is_refused_with_its_path(text: object) -> None:
    with pytest.raises(ConfigError, match=r"^timeline.yml\[0\].at: must be a time such as"):
        words.seconds(text, "timeline.yml[0].at")


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"^given.yml.segmnets: is not known. Did you mean segments\?"):
        words.mapping({"segmnets": {}}, {"segments": ""}, "given.yml")


def test_an_unknown_word_is_refused_with_all_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'magic' is not known. There are: bmc, pdu."):
        words.one_of("magic", ["bmc", "pdu"], "here")
