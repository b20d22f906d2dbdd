"""Which packages may import which, and what holds for every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "streaming_server"
FILES = sorted(ROOT.rglob("*.py"))

LEAVES = {"types", "errors", "percentiles", "version"}
"""Modules that every other module may import."""

FREE = {"__init__", "__main__", "cli", "bench"}
"""Commands, which may import everything."""

PLAN: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "percentiles": set(),
    "version": set(),
    "validation": set(),
    "hosts": set(),
    "backoff": set(),
    "log_writer": set(),
    "metrics": set(),
    "text": set(),
    "audio": set(),
    "ipc": set(),
    "engines": {"engines/provider", "text"},
    "engines/provider": {"engines"},
    "engines/selection": {"engines", "engines/provider"},
    "engines/dia": {"engines", "engines/provider", "text"},
    "engines/espeak": {"engines", "engines/provider", "text"},
    "engines/hibari": {"engines", "engines/provider", "text"},
    "engines/auto": {"engines", "engines/provider", "engines/espeak", "engines/hibari", "audio"},
    "worker": {"engines", "engines/provider", "ipc", "log_writer"},
    "pool": {"ipc"},
    "settings": {"hosts"},
    "logs": {"settings", "log_writer"},
    "context": {"pool", "text", "audio"},
    "render": {"context", "audio", "metrics"},
    "speech_options": {"audio", "settings", "text"},
    "contexts": {"speech_options", "render", "context", "audio", "pool", "metrics", "settings", "text"}
    | {"voices"},
    "transcription": {"ipc", "transcription/transcript"},
    "transcription/transcript": set(),
    "storage": {"audio", "transcription/transcript"},
    "configuration": {"settings", "storage"},
    "jobs": {"storage", "backoff"},
    "voices": {"storage", "transcription/transcript", "text"},
    "voice_samples": {"ipc", "audio", "storage", "transcription", "transcription/transcript", "voices"},
    "web": {"web/websocket", "web/native", "web/rest", "web/vendors", "web/middleware", "web/openapi"}
    | {"contexts", "speech_options", "render", "pool", "audio", "metrics", "settings", "hosts", "validation"}
    | {"engines/provider", "engines/selection", "configuration", "storage", "jobs"}
    | {"voices", "voice_samples", "transcription"},
    "web/websocket": {
        "web",
        "render",
        "context",
        "contexts",
        "speech_options",
        "audio",
        "metrics",
        "pool",
        "hosts",
    },
    "web/native": {
        "web",
        "web/websocket",
        "render",
        "context",
        "contexts",
        "speech_options",
        "audio",
        "text",
        "pool",
    },
    "web/rest": {"web", "web/openapi", "render", "contexts", "audio", "text", "jobs", "metrics", "voices"}
    | {
        "speech_options",
        "configuration",
        "storage",
        "transcription",
        "transcription/transcript",
        "voice_samples",
    },
    "web/vendors": {"web", "web/openapi", "web/websocket", "render", "context", "contexts", "audio", "text"}
    | {"speech_options", "voices", "engines/provider", "settings"},
    "web/middleware": {"web", "web/websocket"},
    "web/openapi": {"web", "audio"},
    "deploy": {"settings", "web"},
}
"""Imports allowed for each package or module, besides the leaves and itself."""


def room(*path: str) -> str:
    """Return the entry of PLAN for a module: the most specific one, or else its top-level package."""
    for depth in range(len(path), 0, -1):
        if (name := "/".join(path[:depth])) in PLAN:
            return name
    return path[0]


def imports(path: Path) -> Iterator[str]:
    """Yield every module imported in a file, including imports inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            # The names may be modules of a package.
            yield from (
                f"{node.module}.{alias.name}"
                for alias in node.names
                if (ROOT.parent / node.module.replace(".", "/") / f"{alias.name}.py").exists()
            )


def rooms_of(path: Path) -> tuple[str, set[str]]:
    """Return the entry of PLAN for a file, and those of the modules that it imports."""
    here = room(*path.relative_to(ROOT).with_suffix("").parts)
    parts = [module.split(".") for module in imports(path)]
    return here, {room(*rest) for head, *rest in parts if head == "streaming_server" and rest}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_plan(path: Path) -> None:
    here, imported = rooms_of(path)
    if here not in FREE:
        assert not imported - PLAN[here] - LEAVES - {here}, f"{here} may not import these"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_are_imported_only_where_allowed(path: Path) -> None:
    for module in imports(path):
        match module.split(".")[0]:
            case "torch" | "safetensors" | "transformers":
                rooms = (ROOT / "engines/dia", ROOT / "bench", ROOT / "transcription/worker.py")
                assert any(path.is_relative_to(room) for room in rooms)
            case "sqlalchemy" | "psycopg" | "obstore":
                assert path.relative_to(ROOT).parts[0] == "storage", path
            case "av":
                assert path == ROOT / "audio/pyav.py", "import it from audio.pyav, which imports it whole"
            case "ray":
                assert path.relative_to(ROOT).parts[0] == "deploy", path
            case "starlette" | "uvicorn":
                assert path.relative_to(ROOT).parts[0] in ("web", "bench"), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_keeps_state(path: Path) -> None:
    """No `global`, and no mutable module-level state."""
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        empty = (isinstance(value, ast.Dict) and not value.keys) or (
            isinstance(value, ast.List | ast.Set) and not value.elts
        )
        assert not empty, f"{path.name}:{node.lineno}"


def test_the_name_of_a_class_means_one_class() -> None:
    places: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
