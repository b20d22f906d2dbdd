"""Recordings and results in a folder and in an object store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.object_store import ObjectStore, running_object_store
from helpers.servers import free_port

from streaming_server.errors import EngineFailure, StorageFailure, StoreUnavailable
from streaming_server.storage.bucket import BucketObjects, open_bucket
from streaming_server.storage.objects import FolderObjects, Objects

Open = Callable[[str], Objects]


def reached(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["folder", "bucket"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Return a function that opens the same objects on a machine of this name."""
    if request.param == "folder":
        return lambda name: FolderObjects(tmp_path / "shared")
    store: ObjectStore = request.getfixturevalue("object_store")
    reached(store, monkeypatch)
    bucket = open_bucket(store.new_bucket())
    return lambda name: BucketObjects(bucket, "prompts", tmp_path / name)


def put(objects: Objects, name: str, content: bytes) -> None:
    file = objects.folder / "unfinished"
    file.write_bytes(content)
    objects.put(name, file)
    assert not file.exists()


def test_a_file_put_on_one_machine_is_fetched_on_another(machine: Open) -> None:
    one, other = machine("one"), machine("other")
    put(one, "a.wav", b"RIFF" * 10_000)
    assert one.path("a.wav").read_bytes() == b"RIFF" * 10_000
    assert other.exists("a.wav")
    path = other.fetch("a.wav")
    assert path == other.path("a.wav")
    assert path.read_bytes() == b"RIFF" * 10_000
    assert other.names() == {"a.wav"}


def test_a_file_of_many_parts_is_stored_whole(machine: Open) -> None:
    one, other = machine("one"), machine("other")
    content = bytes(range(256)) * 50_000
    put(one, "long.wav", content)
    put(one, "long.wav", content)
    assert other.fetch("long.wav").read_bytes() == content


def test_a_large_file_is_uploaded_in_parts(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part has a request's timeout. The tag of an object ends with the number of its parts."""
    reached(object_store, monkeypatch)
    bucket = open_bucket(object_store.new_bucket())
    objects = BucketObjects(bucket, "prompts", tmp_path / "one")
    put(objects, "long.wav", bytes(12 * 2**20))
    assert (bucket.head("prompts/long.wav")["e_tag"] or "").strip('"').endswith("-3")
    put(objects, "short.wav", bytes(1000))
    assert "-" not in (bucket.head("prompts/short.wav")["e_tag"] or "")


def test_a_deleted_file_is_gone(machine: Open) -> None:
    one, other = machine("one"), machine("other")
    put(one, "a.wav", b"RIFF")
    put(one, "b.wav", b"RIFF")
    one.delete("a.wav")
    one.delete("a.wav")
    assert other.remove(["b.wav"]) == 1
    assert not other.exists("a.wav")
    for name in ("a.wav", "b.wav", "never.wav"):
        with pytest.raises(FileNotFoundError):
            other.fetch(name)
    assert other.names() == set()
    assert list(other.folder.iterdir()) == []


@pytest.mark.parametrize("damaged", [b"RIF", b"ZIFF"], ids=["shorter", "other"])
def test_a_damaged_file_is_not_fetched(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bytes
) -> None:
    reached(object_store, monkeypatch)
    bucket = open_bucket(object_store.new_bucket())
    one, other = (BucketObjects(bucket, "prompts", tmp_path / name) for name in ("one", "other"))
    sha256 = hashlib.sha256(b"RIFF").hexdigest()
    put(one, "a.wav", b"RIFF")
    bucket.put("prompts/a.wav", damaged)
    with pytest.raises(FileNotFoundError):
        other.fetch("a.wav", sha256)
    assert list(other.folder.iterdir()) == []
    put(one, "a.wav", b"RIFF")  # Storing it again mends it.
    assert other.fetch("a.wav", sha256).read_bytes() == b"RIFF"


def test_a_fetched_file_is_not_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_object_store(tmp_path / "log") as store:
        reached(store, monkeypatch)
        bucket = open_bucket(store.new_bucket())
        one, other = (BucketObjects(bucket, "prompts", tmp_path / name) for name in ("one", "other"))
        put(one, "a.wav", b"RIFF")
        put(one, "b.wav", b"RIFF")
        other.fetch("a.wav")
        store.stop()
        assert other.fetch("a.wav").read_bytes() == b"RIFF"
        for ask in (other.fetch, other.exists, other.delete):
            with pytest.raises(StoreUnavailable) as failed:
                ask("b.wav")
            assert failed.value.http_status == 503
        unfinished = tmp_path / "unfinished"
        unfinished.write_bytes(b"RIFF")
        with pytest.raises(StorageFailure):
            one.put("c.wav", unfinished)
        assert {file.name for file in other.folder.iterdir()} == {"a.wav"}
        store.start()
        store.new_bucket("speech-1")
        one.put("c.wav", unfinished)
        assert other.fetch("c.wav").read_bytes() == b"RIFF"


def test_files_that_a_killed_server_left_unfinished_are_deleted(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recent one may be another server's."""
    reached(object_store, monkeypatch)
    abandoned, recent, other = (
        tmp_path / name for name in (f".{16 * '0'}.fetching", f".{16 * '1'}.fetching", "x")
    )
    for file in (abandoned, recent, other):
        file.touch()
    for file in (abandoned, other):
        os.utime(file, (10, 10))
    BucketObjects(open_bucket(object_store.new_bucket()), "prompts", tmp_path)
    assert set(tmp_path.iterdir()) == {recent, other}


def test_a_bucket_that_has_gone_makes_the_store_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_object_store(tmp_path / "log") as store:
        reached(store, monkeypatch)
        url = store.new_bucket("gone")
        objects = BucketObjects(open_bucket(url), "prompts", tmp_path / "cache")
        store.stop()
        store.start()
        with pytest.raises(StoreUnavailable):
            put(objects, "a.wav", b"RIFF")
        store.new_bucket("gone")
        put(objects, "a.wav", b"RIFF")


def test_no_password_of_the_store_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming_server.storage.bucket.RETRIES", 0)
    monkeypatch.setenv("AWS_ENDPOINT", f"http://key:passw0rd@127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "passw0rd")
    with pytest.raises(EngineFailure, match=r"//127\.0\.0\.1") as failed:
        open_bucket("s3://bucket/prefix")
    assert "passw0rd" not in failed.value.message


def test_a_bucket_that_does_not_exist_is_reported(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached(object_store, monkeypatch)
    with pytest.raises(EngineFailure, match="--objects cannot be used"):
        open_bucket("s3://no-such-bucket/prefix")


def test_a_folder_that_cannot_be_read_is_a_storage_failure(machine: Open) -> None:
    """The system rejects the name, as it rejects every name on a failing disk."""
    objects = machine("one")
    name = f"{'a' * 300}.wav"
    with pytest.raises(StorageFailure):
        objects.fetch(name)
    if isinstance(objects, FolderObjects):
        with pytest.raises(StorageFailure):
            objects.exists(name)
