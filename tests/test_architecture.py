"""Which packages may import which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "streaming_server"
FILES = sorted(ROOT.rglob("*.py"))

LEAVES = {"types", "errors", "percentiles"}
"""Modules that import no other module of the project except each other."""

ALLOWED: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "percentiles": set(),
    "metrics": LEAVES,
    "text": LEAVES,
    "audio": LEAVES,
    "ipc": LEAVES,
    "engines": LEAVES | {"text"},
    "validation": set(),
    "worker": LEAVES | {"engines", "ipc", "log_writer"},
    "pool": LEAVES | {"ipc"},
    "hosts": set(),
    "settings": {"pool", "hosts"},
    "log_writer": set(),
    "logs": {"settings", "log_writer"},
    "catalogue": LEAVES | {"text"},
    "context": LEAVES | {"pool", "text", "audio"},
    "render": LEAVES | {"context", "audio", "metrics"},
    "voice_files": LEAVES,
    "contexts": LEAVES
    | {"render", "context", "audio", "pool", "metrics", "catalogue", "settings", "text", "voice_files"},
    "voice_samples": LEAVES
    | {"ipc", "audio", "storage", "transcription", "transcription/queue", "voice_library"},
    "transcription": LEAVES | {"ipc", "text"},
    "transcription/queue": LEAVES | {"transcription", "storage", "voice_library"},
    "voice_library": LEAVES | {"catalogue", "storage", "transcription"},
    "storage": LEAVES | {"text", "audio", "transcription"},
    "configuration": {"settings", "storage"},
    "pronunciation_list": LEAVES | {"storage", "text"},
    "jobs": LEAVES | {"storage"},
    "backoff": set(),
    "deploy": {"errors", "settings", "web"},
    "web": LEAVES
    | {"engines", "hosts", "contexts", "render", "validation"}
    | {"context", "pool", "audio", "metrics", "settings", "catalogue", "storage", "configuration", "jobs"}
    | {"pronunciation_list", "voice_files"}
    | {"voice_samples", "transcription", "transcription/queue", "text", "voice_library"},
}
"""What each package may import. The command line and the benchmark may import everything."""


def room(*path: str) -> str:
    """Return a module's entry in ALLOWED: its own if it has one, otherwise its top-level package."""
    whole = "/".join(path)
    return whole if whole in ALLOWED else path[0]


def imports(path: Path) -> Iterator[str]:
    """Return every module imported in a file, including imports inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_allowed_directions(path: Path) -> None:
    here = room(*path.relative_to(ROOT).with_suffix("").parts)
    if (allowed := ALLOWED.get(here)) is None:
        return
    for module in imports(path):
        head, _, rest = module.partition(".")
        if head == "streaming_server" and rest:
            assert room(*rest.split(".")) in allowed | {here}, f"{path.name} imports {module}"


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
