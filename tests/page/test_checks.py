"""The page's scripts: types, linter and the tests of its pure modules, run by Node.

`npm ci --prefix tests/page` installs what they need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("check", ["types", "lint", "test"])
def test_the_scripts_of_the_page_pass(check: str) -> None:
    npm = shutil.which("npm")
    if npm is None or not (HERE / "node_modules").is_dir():
        needed = "run `npm ci --prefix tests/page`, with Node 20 or newer"
        if os.environ.get("CI"):
            pytest.fail(needed)
        pytest.skip(needed)
    found = subprocess.run([npm, "run", "--silent", check], cwd=HERE, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
