"""The collection as its users get it: built, installed, documented, and its modules run by Ansible itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import typing as t
from pathlib import Path

import pytest
import yaml
from tree import ROOT

BIN = Path(sys.executable).parent
NAME = "openstack_ha.recovery"
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
pytestmark = [
    pytest.mark.filterwarnings("ignore:Host management is deprecated:DeprecationWarning"),  # of pytest-ansible
    pytest.mark.filterwarnings("ignore:AnsibleCollectionFinder has already been configured"),  # by other tests
]
Run = t.Callable[..., "subprocess.CompletedProcess[str]"]
Module = t.Callable[..., t.Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a tool of Ansible, away from the checkout."""

    def run(tool: str, *arguments: t.Any, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [BIN / tool, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_NOCOLOR": "true", **environment},
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that ``ansible-galaxy collection build`` makes of the checkout."""
    folder = tmp_path_factory.mktemp("archive")
    command = [BIN / "ansible-galaxy", "collection", "build", ROOT, "--output-path", folder]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.tar.gz"))


def documented(run: Run, kind: str, collections: str) -> list[str]:
    """The plugins of this kind for which ``ansible-doc`` finds documentation."""
    listing = run("ansible-doc", "-t", kind, "--list", "--json", NAME, ANSIBLE_COLLECTIONS_PATH=collections)
    return sorted(name.removeprefix(f"{NAME}.") for name in json.loads(listing.stdout))


def test_the_archive_has_what_users_need_and_nothing_of_the_workshop(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
    assert {"README.md", "LICENSE", "meta/runtime.yml", "meta/ee-requirements.txt", "docs/architecture.md"} <= names
    assert {f"playbooks/{name}.yml" for name in PLAYBOOKS} <= names
    workshop = ("build", "collections", "tests/output", "Makefile", "pyproject.toml", "dist")
    assert not [name for name in names if name.startswith(workshop) or name.startswith(".")]
    stories = {name for name in names if name.startswith("stories/")}
    assert {
        f"stories/rack_loss/{name}" for name in ("README.md", "given.yml", "timeline.yml", "expected.log")
    } <= stories
    assert not [name for name in names - stories if name.endswith((".pyc", ".tar.gz", ".log"))]


def test_the_archive_installs_without_galaxy_and_its_modules_are_documented(
    archive: Path, run: Run, tmp_path: Path
) -> None:
    installed = str(tmp_path / "installed")
    run("ansible-galaxy", "collection", "install", archive, "--offline", ANSIBLE_COLLECTIONS_PATH=installed)
    assert documented(run, "module", installed) == MODULES
    assert documented(run, "inventory", installed) == ["failover_segments"]
    page = run("ansible-doc", "-t", "module", f"{NAME}.host_fence", ANSIBLE_COLLECTIONS_PATH=installed).stdout
    assert "returns a power certificate" in page
    assert installed in page.replace("\n", "")


def test_a_git_checkout_installs_with_one_command(run: Run, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{ROOT}", clone], check=True, timeout=120)
    installed = str(tmp_path / "installed")
    run("ansible-galaxy", "collection", "install", f"git+file://{clone}", ANSIBLE_COLLECTIONS_PATH=installed)
    assert "host_fence" in documented(run, "module", installed)


def test_every_requirement_of_the_execution_environment_is_a_file_of_the_archive(archive: Path) -> None:
    described = yaml.safe_load((ROOT / "meta" / "execution-environment.yml").read_text())
    with tarfile.open(archive) as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
    assert set(described["dependencies"].values()) <= names


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbooks_are_found_by_their_full_names_and_parse(run: Run, playbook: str) -> None:
    done = run("ansible-playbook", "-i", "localhost,", "--syntax-check", f"{NAME}.{playbook}")
    assert f"recovery/playbooks/{playbook}.yml" in done.stdout


@pytest.fixture
def as_module(ansible_adhoc: t.Callable[..., t.Any], tmp_path: Path) -> Module:
    """Run a module in a process of its own, as Ansible runs it on any host.

    An interpreter of another name keeps the action plugin from doing the work itself.
    """
    inventory = tmp_path / "hosts.ini"
    inventory.write_text(f"box ansible_connection=local ansible_python_interpreter={sys.executable}3\n")
    hosts = ansible_adhoc(inventory=str(inventory), host_pattern="box")

    def run(name: str, **options: t.Any) -> t.Any:
        return getattr(hosts["box"], f"{NAME}.{name}")(**options)["box"]

    return run


def test_a_module_that_reads_an_empty_journal_says_that_there_is_none(as_module: Module, tmp_path: Path) -> None:
    result = as_module("recovery_run_info", journal_url=f"sqlite:///{tmp_path}/none.db")
    assert result.is_failed
    assert f"{tmp_path}/none.db" in result["msg"]


def test_a_module_knows_the_fencing_it_is_given(as_module: Module) -> None:
    device = {"method": "ipmi", "address": "192.0.2.1", "username": "admin", "password": "s3cr3t", "colour": "red"}
    result = as_module("host_fence_info", host="cmp01", levels=[{"devices": [device]}])
    assert result.is_failed
    assert "colour" in result["msg"]
    assert "s3cr3t" not in json.dumps(dict(result))


def test_wrong_options_are_refused_before_anything_is_asked(as_module: Module) -> None:
    result = as_module("compute_service", host="cmp01", status="off", cloud="nowhere")
    assert result.is_failed
    assert "status" in result["msg"]
    assert "enabled" in result["msg"]


def test_a_cloud_that_is_not_configured_is_named(as_module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "/nonexistent/clouds.yaml")
    result = as_module("reserved_host_info", cloud="nowhere", topology={"segments": {}, "hosts": {}})
    assert result.is_failed
    assert "nowhere" in result["msg"]
