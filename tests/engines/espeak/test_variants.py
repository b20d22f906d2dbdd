"""The data folder with our variants."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import espeakng_loader
import pytest
from helpers.disks import files_limited_to

from streaming_server.engines.espeak.library import Library
from streaming_server.engines.espeak.variants import VARIANTS, DataFolder
from streaming_server.errors import EngineFailure

ORIGINAL = Path(espeakng_loader.get_data_path())


def check(data: Path) -> None:
    assert sorted(path.name for path in (data / "voices" / "!v").iterdir()) == sorted(VARIANTS)
    assert (data / "en_dict").read_bytes() == (ORIGINAL / "en_dict").read_bytes()


def test_is_made_once_and_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        folders = list(threads.map(lambda _: DataFolder(ORIGINAL, tmp_path / "cache"), range(8)))
    assert len({folder.path for folder in folders}) == 1
    for folder in folders:
        folder.close()
    check(folders[0].path)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folders[0].path.parent.name]


@pytest.mark.parametrize("missing", ["voices/!v/luna", "phontab"])
def test_a_cache_that_lacks_a_file_is_not_used(missing: str, tmp_path: Path) -> None:
    kept = DataFolder(ORIGINAL, tmp_path / "cache")
    (kept.path / missing).unlink()
    folder = DataFolder(ORIGINAL, tmp_path / "cache")
    check(folder.path)
    assert (folder.path / missing).exists()
    folder.close()
    assert not folder.path.exists()


@pytest.mark.parametrize("cache", ["file", "file/below"])
def test_is_temporary_where_the_cache_cannot_be_written(cache: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = DataFolder(ORIGINAL, tmp_path / cache)
    check(folder.path)
    folder.close()
    folder.close()
    assert not folder.path.exists()


def test_a_full_disk_is_an_error_that_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, temporary = tmp_path / "cache", tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with files_limited_to(0), pytest.raises(EngineFailure, match=r"written \(File too large\).*TMPDIR"):
        Library()
    assert list((cache / "streaming-server").iterdir()) == []
    assert list(temporary.iterdir()) == []
