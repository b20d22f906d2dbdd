"""Dia's engine and its benchmark are imported with PyTorch and NumPy alone."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[3]

IMPORTS = """
import importlib, importlib.abc, importlib.metadata, json, pkgutil, re, sys

blocked_distributions = set(json.loads(sys.argv[1]))
normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()
blocked = {
    package
    for package, distributions in importlib.metadata.packages_distributions().items()
    if blocked_distributions & {normal(each) for each in distributions}
}


class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
        return None


sys.meta_path.insert(0, Block())
done = []
for package in ("streaming_server.engines.dia", "streaming_server.bench.dia"):
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        if module.name.endswith("__main__") or (".kernels." in module.name or "fused" in module.name) and (
            importlib.util.find_spec("triton") is None
        ):
            continue
        importlib.import_module(module.name)
        done.append(module.name)
print(json.dumps({"blocked": sorted(blocked), "done": done}))
"""


@pytest.mark.slow
def test_every_module_is_imported_without_other_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    of_torch = {name_of(requirement) for requirement in importlib.metadata.requires("torch") or []}
    names = {name_of(requirement) for requirement in project["dependencies"]} - of_torch - {"numpy"}
    names |= {"huggingface-hub", "nvidia-ml-py", "safetensors", "transformers"}
    command = [sys.executable, "-c", IMPORTS, json.dumps(sorted(names))]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout)
    assert {"starlette", "uvicorn", "anyio", "orjson"} <= set(found["blocked"])
    assert len(found["done"]) > 60


def name_of(requirement):
    """Return the distribution that a requirement names."""
    letters = requirement.replace("_", "-").replace(".", "-").lower()
    return letters[: next((i for i, c in enumerate(letters) if not (c.isalnum() or c == "-")), len(letters))]
