"""Engines are found by entry point, including those from other packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from helpers.packages import install
from helpers.servers import free_port, running_server
from helpers.talk import talking

from streaming_server.engines.registry import GROUP, find_engine, installed_engines, registered
from streaming_server.engines.selection import select_engine
from streaming_server.errors import EngineFailure

ROOT = Path(__file__).parents[2]

PYPROJECT = """
[project]
name = "broken"
version = "1.0"

[project.entry-points."streaming_server.engines"]
broken = "broken:BROKEN"
"""

PROVIDER = """
from streaming_server.engines.provider import EngineProvider

def create(settings):
    {body}

BROKEN = EngineProvider("broken", "never speaks", create)
"""


def readme_engine() -> tuple[str, str]:
    """Return the module and the pyproject.toml of the README's engine."""
    section = re.split(r"^## Your own engine\s*$", (ROOT / "README.md").read_text(), flags=re.M)[1]
    section = re.split(r"^## ", section, flags=re.M)[0]
    module, pyproject = re.findall(r"^```(?:python|toml)\n(.*?)^```", section, flags=re.M | re.S)
    return module, pyproject


@pytest.fixture(scope="module")
def beep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the README's engine outside this environment."""
    module, pyproject = readme_engine()
    return install(tmp_path_factory.mktemp("beep"), {"beep.py": module}, pyproject)


def path_with(folder: Path) -> str:
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "run.py", f"--port={free_port()}", f"--data-dir={folder / 'data'}", *options]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path_with(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.anyio
async def test_speaks_with_an_engine_from_another_package(beep: Path, tmp_path: Path) -> None:
    options = ("--engine=beep", "--pitch-hz=880", "--max-workers=1")
    with running_server(tmp_path / "log", *options, PYTHONPATH=path_with(beep)) as server:
        async with talking(server.ws_url) as talk:
            assert (talk.ready["engine"], talk.ready["sample_rate"]) == ("beep", 16000)
            assert (await talk.speak("Three words here."))["type"] == "done"
    samples = np.frombuffer(talk.audio(), "<i2")
    assert len(samples) == 3 * 3200
    assert np.argmax(np.abs(np.fft.rfft(samples))) * 16000 / len(samples) == pytest.approx(880, abs=2)


def test_the_readme_engine_is_about_thirty_lines() -> None:
    lines = [line for line in readme_engine()[0].splitlines() if line and "import" not in line]
    assert len(lines) <= 30


def test_help_lists_the_options_of_every_engine(beep: Path) -> None:
    shown = run(beep, "--help").stdout
    _, _, group = shown.partition("engine beep:")
    assert "a beep for every word" in group
    assert "--pitch-hz N" in group
    assert "(default: 440)" in group


def test_an_option_out_of_range_is_named(beep: Path) -> None:
    answer = run(beep, "--engine=beep", "--pitch-hz=9")
    assert answer.returncode == 2
    assert "--pitch-hz" in answer.stderr.splitlines()[-1]


def test_an_option_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIA_SLOTS", "7")
    monkeypatch.setenv("dia_model", "random:tiny")
    selected = select_engine("dia")
    assert (selected.settings.slots, selected.settings.model) == (7, "random:tiny")
    assert select_engine("dia", {"slots": "3"}).settings.slots == 3


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("BROKEN = 1", "is not an EngineProvider"),
        ("", "BROKEN"),
        (PROVIDER.format(body="import nothing_of_that_name"), "No module named 'nothing_of_that_name'"),
        (PROVIDER.format(body="raise ValueError('no such model')"), "ValueError: no such model"),
    ],
    ids=["import", "type", "name", "import in the worker", "failure in the worker"],
)
def test_an_engine_that_cannot_start_ends_the_server_with_one_sentence(
    tmp_path: Path, source: str, reason: str
) -> None:
    folder = install(tmp_path, {"broken.py": source}, PYPROJECT)
    answer = run(folder, "--engine=broken")
    assert answer.returncode == 2
    last = answer.stderr.splitlines()[-1]
    assert last.startswith("run.py: Engine broken")
    assert reason in last


def test_a_broken_engine_does_not_affect_the_others(tmp_path: Path) -> None:
    folder = install(tmp_path, {"broken.py": "import nothing_of_that_name"}, PYPROJECT)
    with running_server(tmp_path / "log", "--max-workers=1", PYTHONPATH=path_with(folder)) as server:
        assert server.ready()


def test_the_unknown_engine_error_lists_the_engines() -> None:
    with pytest.raises(EngineFailure, match=r"Engine magic is not installed; available: auto, dia, espeak"):
        find_engine("magic", installed_engines())


def test_rejects_a_name_registered_by_two_packages() -> None:
    points = [EntryPoint("a", "one:A", GROUP), EntryPoint("a", "two:A", GROUP), EntryPoint("b", "b:B", GROUP)]
    with pytest.raises(EngineFailure, match="registered twice, as one:A and two:A"):
        find_engine("a", registered(points))
    assert find_engine("b", registered([*points, points[2]])).reference == "b:B"


def test_choosing_dia_does_not_import_pytorch() -> None:
    program = """
import sys
from streaming_server.engines.selection import select_engine
assert select_engine("dia", {"slots": "2"}, {}).settings.slots == 2
print(sorted({"torch", "safetensors", "huggingface_hub"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
