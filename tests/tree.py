"""A tree in which the checkout is the collection ``openstack_ha.recovery``, made of links.

Ansible finds a collection only below ``ansible_collections/NAMESPACE/NAME``. Top-level entries are linked one by
one, because a link to the whole checkout would contain itself.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_NOT_LINKED = {"build", "collections", ".git"}


def collections_path() -> Path:
    """The directory that holds ``ansible_collections``; made and brought up to date if need be."""
    if ROOT.parts[-3:] == ("ansible_collections", "openstack_ha", "recovery"):
        return ROOT.parents[2]
    tree = ROOT / "build" / "tree"
    collection = tree / "ansible_collections" / "openstack_ha" / "recovery"
    if collection.is_symlink():
        collection.unlink()
    collection.mkdir(parents=True, exist_ok=True)
    for entry in ROOT.iterdir():
        link = collection / entry.name
        if entry.name not in _NOT_LINKED and not link.is_symlink():
            link.symlink_to(entry)
    return tree


if __name__ == "__main__":
    print(collections_path())
