from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _config
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        _config.read(text)
    return caught.value.message


def test_what_is_wrong_with_several_items_is_one_error_with_a_line_each() -> None:
    def check(number: int) -> int:
        if number == 3:
            _config.raise_all([ConfigError("three"), ConfigError("drei")])
        if number % 2:
            raise ConfigError(f"{number} is odd")
        return number * 10

    assert _config.each(check, [(2,), (4,)]) == [20, 40]
    with pytest.raises(ConfigError) as caught:
        _config.each(check, [(1,), (2,), (3,)])
    assert caught.value.message == "1 is odd\nthree\ndrei"
    assert _config.errors_of(caught.value) == ["1 is odd", "three", "drei"]


def test_other_errors_are_not_collected() -> None:
    def check(number: int) -> None:
        raise RecoveryError("a package is missing")

    with pytest.raises(RecoveryError, match="a package is missing"):
        _config.each(check, [(1,)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "a: stands twice in the file, in lines 1 and 3; merge them."),
        ("a: [{b: 1}, {c: {d: 1, d: 2}}]", "a[1].c.d: stands twice in the file"),
        (
            "a: 1\na: 2\nb: {c: 1, c: 2}",
            "a: stands twice in the file, in lines 1 and 2; merge them.\nb.c: stands twice",
        ),
        ("a: [", "is no YAML in line "),
        ("a: !nosuch 1", "is no YAML in line 1: could not determine a constructor for the tag '!nosuch'."),
        ("? [a]\n: 1", "the file: a key in line 1 must be a string."),
        ("a: &a [*a]", "is nested too deeply, or contains itself by an alias."),
        ("a: " + "9" * 5000, "is no YAML: Exceeds the limit"),
        ("$ANSIBLE_VAULT;1.1;AES256\n6162", "is encrypted as a whole"),
    ],
)
def test_a_file_that_hides_something_is_refused(text: str, message: str) -> None:
    assert refusal(text).startswith(message)
    assert len(refusal(text).splitlines()) == len(message.splitlines())


def test_tags_of_ansible_are_known() -> None:
    found = _config.read("{a: !vault abc, b: !unsafe '{{ x }}', c: 1}")
    assert isinstance(found["a"], _config.Tagged)
    assert (found["b"], found["c"]) == ("{{ x }}", 1)


def test_an_empty_file_holds_nothing() -> None:
    assert _config.read("") is None
    assert _config.read("# only a comment\n") is None


def test_the_hash_of_a_file_is_one_of_what_it_says_and_not_of_how() -> None:
    one = _config.digest_of_text("a: 1\nb: [x, {c: !vault abc}]\n")
    assert one == _config.digest_of_text("# comment\nb:\n  - 'x'\n  - c: !vault |-\n      abc\na: 1\n")
    others = ["a: '1'\nb: [x, {c: !vault abc}]", "a: 1\nb: [{c: !vault abc}, x]", "a: 1\nb: [x, {c: abc}]", "", "a: 1"]
    assert len({one, *map(_config.digest_of_text, others)}) == 6


def test_the_hash_of_data_does_not_depend_on_the_order_of_keys() -> None:
    assert _config.digest({"a": 1, "b": {"c": 2, "d": 3}}) == _config.digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert _config.digest({"a": [1, 2]}) != _config.digest({"a": [2, 1]})


def test_without_pyyaml_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_config, "yaml", None)
    with pytest.raises(RecoveryError, match="PyYAML"):
        _config.read("a: 1")
