"""Build the HTML documentation of the plugins into build/docs/html."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "docs"
BIN = Path(sys.executable).parent


def main() -> None:
    """Let antsibull-docs write the sources, and Sphinx the pages."""
    shutil.rmtree(SITE, ignore_errors=True)
    SITE.mkdir(parents=True, mode=0o755)
    _run("antsibull-docs", "sphinx-init", "--use-current", "--squash-hierarchy", "--lenient", "--dest-dir", SITE,
         "openstack_ha.recovery")  # fmt: skip
    settings = SITE / "conf.py"
    # No inventories of other projects: they would be fetched from the network.
    settings.write_text(
        settings.read_text() + "\nintersphinx_mapping = {}\nhtml_theme = 'alabaster'\nsuppress_warnings = ['ref.ref']\n"
    )
    _run("antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--dest-dir", SITE / "rst",
         "openstack_ha.recovery")  # fmt: skip
    _run("sphinx-build", "-q", "-b", "html", "-c", SITE, SITE / "rst", SITE / "html")
    print(f"file://{SITE}/html/index.html")


def _run(tool: str, *arguments: str | Path) -> None:
    subprocess.run([BIN / tool, *arguments], check=True)


if __name__ == "__main__":
    main()
