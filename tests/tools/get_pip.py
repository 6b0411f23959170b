"""Stands in for get-pip.py: installs the pip that the interpreter carries, then what was asked for from PyPI.

ansible-test makes virtual environments without pip and downloads get-pip.py from a host of its own. With this file in
its cache, a package index is all the network that it needs.
"""

from __future__ import annotations

import subprocess
import sys

wanted = [argument for argument in sys.argv[1:] if argument.startswith(("pip", "setuptools", "wheel"))]
subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)
subprocess.run([sys.executable, "-m", "pip", "install", "-q", *wanted], check=True)
