"""The page's scripts: types, linter and the tests of its pure modules, run by Node.

`npm ci --prefix tests/page` installs what they need.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.required import missing

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "static"


@pytest.mark.parametrize("check", ["types", "lint", "test"])
def test_the_scripts_of_the_page_pass(check: str) -> None:
    npm = shutil.which("npm")
    if npm is None or not (HERE / "node_modules").is_dir():
        missing("run `npm ci --prefix tests/page`, with Node 20 or newer")
    found = subprocess.run([npm, "run", "--silent", check], cwd=HERE, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_script_is_type_checked() -> None:
    """The type checker reads only scripts that begin with this line, and so not the vendored ones."""
    scripts = [path for path in STATIC.rglob("*.js") if "vendor" not in path.parts]
    unchecked = [path.name for path in scripts if not path.read_text().startswith("// @ts-check\n")]
    assert scripts
    assert unchecked == []
