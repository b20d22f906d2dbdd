"""Voice variants written into a copy of eSpeak NG's data folder.

The stock ones do not serve: the intelligible ones are male, and most use `flutter` and `roughness`, whose
phase runs on from the process's first sound, so the same text would not sound the same twice. A roughness
beyond the library's table disables both effects.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

NO_ROUGHNESS = 8
"""One more than the library's table of roughness has."""

_STRENGTHS = (100, 100, 100, 100, 60, 60, 30, 30, 30)
"""Percent of the usual strength of each formant, from the lowest."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A speaker. pitch: Hz at the low and at the high end of a sentence. formants: percent of the usual."""

    gender: str
    pitch: tuple[int, int]
    formants: int

    def text(self, name: str) -> str:
        """Return the variant's file."""
        lines = [
            "language variant",
            f"name {name}",
            f"gender {self.gender}",
            f"pitch {self.pitch[0]} {self.pitch[1]}",
            "flutter 0",
            f"roughness {NO_ROUGHNESS}",
        ]
        for number, strength in enumerate(_STRENGTHS):
            lines.append(f"formant {number} {self.formants if number else 100} {strength} 100")
        return "\n".join([*lines, ""])


VARIANTS = MappingProxyType(
    {
        "aria": Variant("female", (138, 205), 103),
        "atlas": Variant("male", (66, 96), 92),
        "luna": Variant("female", (136, 232), 108),
        "kai": Variant("male", (92, 140), 97),
        "zara": Variant("female", (124, 180), 99),
        "nova": Variant("female", (190, 280), 114),
    }
)


class DataFolder:
    """The library's data with our variants in it: links to the data, in the user's cache.

    Where nothing can be written there, a temporary folder that `close` removes.
    """

    def __init__(self, original: Path, cache: Path | None = None) -> None:
        """Raises OSError if neither can be written."""
        self._temporary: Path | None = None
        try:
            folder = (cache or _cache()) / f"espeak-{_digest(original)}"
            self.path = _made_once(original, folder)
        except (OSError, RuntimeError):  # RuntimeError: there is no home.
            self._temporary = Path(tempfile.mkdtemp(prefix="espeak-"))
            self.path = self._temporary / "espeak-ng-data"
            try:
                _make(original, self.path)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Idempotent."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _made_once(original: Path, folder: Path) -> Path:
    """Make a folder unless it is there; several processes may do so at once. Raises OSError."""
    data = folder / "espeak-ng-data"
    if _is_whole(original, data):
        return data
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        _make(original, fresh / data.name)
        with suppress(OSError):  # Another process was first.
            os.rename(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if not _is_whole(original, data):
        raise FileNotFoundError(f"{data} lacks files")
    return data


def _is_whole(original: Path, data: Path) -> bool:
    """Return whether no file is missing: caches get cleaned, and the library ignores a missing variant."""
    links = (data / entry.name for entry in original.iterdir())
    variants = (data / "voices" / "!v" / name for name in VARIANTS)
    return all(path.exists() for path in (*links, *variants))


def _make(original: Path, data: Path) -> None:
    (data / "voices" / "!v").mkdir(parents=True)
    for entry in original.iterdir():
        if entry.name != "voices":
            (data / entry.name).symlink_to(entry)
    for name, variant in VARIANTS.items():
        (data / "voices" / "!v" / name).write_text(variant.text(name))


def _digest(original: Path) -> str:
    """Return a name for this version of the data and of the variants."""
    names = sorted(entry.name for entry in original.iterdir())
    variants = [variant.text(name) for name, variant in VARIANTS.items()]
    return hashlib.sha256("\n".join([str(original), *names, *variants]).encode()).hexdigest()[:16]


def _cache() -> Path:
    """Return this program's folder in the user's cache."""
    if sys.platform == "darwin":
        return Path("~/Library/Caches/streaming-server").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "streaming-server"
