"""The library that the page brings along, exactly as published."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

import pytest
from helpers.servers import Server

VENDOR = Path(__file__).parents[2] / "static" / "vendor"
PAGE = Path(__file__).parent
LIBRARIES = sorted(path.parent.name for path in VENDOR.glob("*/source.json"))


def test_every_library_says_where_it_is_from() -> None:
    assert LIBRARIES == sorted(path.name for path in VENDOR.iterdir()) == ["uplot"]


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_files_match_their_checksums(name: str) -> None:
    folder = VENDOR / name
    source = json.loads((folder / "source.json").read_text())
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    del found["source.json"]
    assert found == source["sha256"]
    assert "LICENSE" in found
    assert source["version"] in (folder / "uPlot.esm.js").read_text()[:500]


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_files_are_those_of_the_package_on_npm(name: str) -> None:
    """The lock file holds the checksum of the same package, which `npm ci` verifies."""
    folder = VENDOR / name
    source = json.loads((folder / "source.json").read_text())
    locked = json.loads((PAGE / "package-lock.json").read_text())["packages"][f"node_modules/{name}"]
    assert (locked["version"], locked["integrity"]) == (source["version"], source["integrity"])
    package = PAGE / "node_modules" / name
    if not package.is_dir():
        pytest.skip("run `npm ci --prefix tests/page`")
    for file in source["sha256"]:
        (published,) = package.rglob(file)
        assert (folder / file).read_bytes() == published.read_bytes(), file


def test_the_server_serves_it_as_a_module(server: Server) -> None:
    for file, media in (("uPlot.esm.js", "text/javascript"), ("uPlot.min.css", "text/css")):
        with urlopen(f"{server.url}/static/vendor/uplot/{file}") as answer:
            assert answer.headers["content-type"].startswith(media)
            assert "default-src 'self'" in answer.headers["content-security-policy"]
            assert answer.read() == (VENDOR / "uplot" / file).read_bytes()
