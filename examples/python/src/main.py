"""Prints what it is and where it runs, reads the file that it was shipped with, and uses a package of PyPI's."""

import os
import platform
from pathlib import Path

import humanize

print(f"program: Python on {platform.system().lower()}/{platform.machine()}")
print(f"user: {os.getuid()}")
print(f"folder: {Path.cwd()}")
print(f"file: {Path('greeting.txt').read_text().strip()}")
print(f"dependency: humanize makes {humanize.naturalsize(7_200_000)} of 7200000")
