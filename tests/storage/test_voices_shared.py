"""The store of voices between threads, servers and failures."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.databases import Place
from helpers.voice_store import PLAIN, blob, files, opened, put, written

from streaming_server.errors import (
    StorageFailure,
    StoreUnavailable,
)
from streaming_server.storage.objects import FolderObjects
from streaming_server.storage.sqlite import FILE_NAME
from streaming_server.storage.voice_records import StoredVoice
from streaming_server.storage.voices import VoiceStore
from streaming_server.types import BUILTIN_VOICES


class Held(FolderObjects):
    """A folder, as slow as an object store can be: calls wait until they are released."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.calls = threading.Semaphore(0)
        self.may_go_on = threading.Event()

    def _wait(self) -> None:
        self.calls.release()
        assert self.may_go_on.wait(20)

    def put(self, name: str, file: Path) -> None:
        self._wait()
        super().put(name, file)

    def delete(self, name: str) -> None:
        self._wait()
        super().delete(name)


@contextmanager
def opened_twice(place: Place) -> Iterator[tuple[VoiceStore, VoiceStore, Held]]:
    """Open the store of two servers, one of which waits for its files."""
    held = Held(place.data / "prompts")
    with place.opened() as database, opened(place) as other:
        yield VoiceStore(database, held, place.data / "tmp"), other, held


def test_a_slow_upload_delays_no_other_call(place: Place) -> None:
    with opened_twice(place) as (slow, other, held), ThreadPoolExecutor() as pool:
        upload = pool.submit(put, slow, "ann")
        assert held.calls.acquire(timeout=20)
        put(other, "bob", b"RIFF two")
        other.put_voice(StoredVoice("reader", "Reader", voice_sample="bob"))
        held.may_go_on.set()
        assert upload.result(20).exists


def test_a_recording_that_is_being_stored_is_not_deleted(place: Place) -> None:
    """Neither with the last voice sample that has the same recording, nor by the sweep of another server."""
    with opened_twice(place) as (slow, other, held), ThreadPoolExecutor() as pool:
        put(other, "bob")
        upload = pool.submit(put, slow, "ann")
        assert held.calls.acquire(timeout=20)
        other.delete_voice_sample("bob")
        assert (place.data / "prompts" / blob(b"RIFF one")).exists()
        held.may_go_on.set()
        assert upload.result(20).exists


def test_a_recording_that_is_being_deleted_is_stored_afterwards(place: Place) -> None:
    with opened_twice(place) as (slow, other, held), ThreadPoolExecutor() as pool:
        put(other, "ann")
        deletion = pool.submit(slow.delete_voice_sample, "ann")
        assert held.calls.acquire(timeout=20)
        upload = pool.submit(put, other, "bob")
        with pytest.raises(TimeoutError):
            upload.result(0.2)
        held.may_go_on.set()
        deletion.result(20)
        assert upload.result(20).exists


def test_an_upload_that_takes_longer_than_its_lease_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server may have deleted the file meanwhile."""
    monkeypatch.setattr("streaming_server.storage.recordings.STORE_S", -1.0)
    with opened_twice(place) as (slow, other, held), ThreadPoolExecutor() as pool:
        put(other, "bob", b"RIFF two")
        upload = pool.submit(put, slow, "ann", b"RIFF two")
        assert held.calls.acquire(timeout=20)
        other.delete_voice_sample("bob")
        held.may_go_on.set()
        with pytest.raises(StoreUnavailable, match="too long"):
            upload.result(20)
        assert other.voice_samples() == []


def test_threads_that_share_recordings_lose_no_file(store: VoiceStore, tmp_path: Path) -> None:
    def churn(name: str) -> None:
        for turn in range(30):
            put(store, name, b"RIFF %d" % (turn % 2))
            if turn % 3 == 0:
                store.delete_voice_sample(name)

    threads = [threading.Thread(target=churn, args=(name,)) for name in ("ann", "bob", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [voice_sample.id for voice_sample in store.voice_samples()] == ["ann", "bob", "eve"]
    assert files(tmp_path / "prompts") == {voice_sample.path.name for voice_sample in store.voice_samples()}
    assert all(
        blob(voice_sample.path.read_bytes()) == voice_sample.path.name
        for voice_sample in store.voice_samples()
    )


def test_a_full_disk_rejects_the_upload_and_keeps_the_others(tmp_path: Path) -> None:
    with opened(Place(tmp_path)) as store:
        _check_full_disk(store, tmp_path)


def _check_full_disk(store: VoiceStore, tmp_path: Path) -> None:
    kept = put(store, "ann")
    log = tmp_path / f"{FILE_NAME}-wal"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wav = written(store, b"RIFF two")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
    try:
        with pytest.raises(StorageFailure, match="full"):
            store.put_voice_sample("ann", wav, **PLAIN)
        with pytest.raises(StorageFailure, match="full"):
            store.put_voice(StoredVoice("reader", "Reader"))
        assert store.voice_samples() == [kept]
        assert len(store.voices()) == len(BUILTIN_VOICES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert kept.exists
    assert files(tmp_path / "prompts") == {kept.path.name}
    assert files(tmp_path / "tmp") == set()
    assert put(store, "ann", b"RIFF two").exists


def test_a_missing_directory_is_a_storage_failure(store: VoiceStore, tmp_path: Path) -> None:
    kept = put(store, "ann")
    wav = written(store, b"RIFF two")
    (tmp_path / "prompts").rename(tmp_path / "moved")
    with pytest.raises(StorageFailure):
        store.put_voice_sample("ann", wav, **PLAIN)
    (tmp_path / "moved").rename(tmp_path / "prompts")
    assert store.voice_samples() == [kept]
    assert files(tmp_path / "tmp") == set()
