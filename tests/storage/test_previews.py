"""Previews are synthesised once, then cached."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

import anyio
import pytest
from helpers.disks import files_limited_to, make_read_only, small_disk

from streaming_server.errors import Full, StorageFailure
from streaming_server.storage.previews import Previews

pytestmark = pytest.mark.anyio

KAI, LUNA = "0" * 32, "1" * 32


class Speaker:
    """Synthesises when released and counts its calls."""

    def __init__(self, sound: bytes, *, may: bool = True) -> None:
        self._sound = sound
        self.asked = 0
        self.may_speak = anyio.Event()
        if may:
            self.may_speak.set()

    async def __call__(self) -> bytes:
        self.asked += 1
        await self.may_speak.wait()
        return self._sound


async def until_asked(speaker: Speaker) -> None:
    with anyio.fail_after(20):
        while not speaker.asked:
            await anyio.sleep(0.005)


async def test_a_cached_preview_is_not_synthesised_again(tmp_path: Path) -> None:
    previews, speaker = Previews(tmp_path), Speaker(b"kai")
    first = await file_of(previews.get(KAI, speaker))
    assert first.read_bytes() == b"kai"
    assert await previews.get(KAI, speaker) == first
    assert speaker.asked == 1


async def test_concurrent_requests_share_one_synthesis(tmp_path: Path) -> None:
    previews, speaker = Previews(tmp_path), Speaker(b"kai", may=False)
    heard = []

    async def listen() -> None:
        heard.append((await file_of(previews.get(KAI, speaker))).read_bytes())

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(listen)
        await until_asked(speaker)
        await anyio.wait_all_tasks_blocked()
        speaker.may_speak.set()
    assert heard == [b"kai"] * 8
    assert speaker.asked == 1


async def test_other_previews_do_not_wait_for_one_in_progress(tmp_path: Path) -> None:
    """Cached previews and those of other voices used to wait for any synthesis."""
    previews, kai, luna = Previews(tmp_path), Speaker(b"kai", may=False), Speaker(b"luna")
    async with anyio.create_task_group() as group:
        group.start_soon(previews.get, KAI, kai)
        await until_asked(kai)
        with anyio.fail_after(20):
            for _ in range(2):
                assert (await file_of(previews.get(LUNA, luna))).read_bytes() == b"luna"
        assert (kai.asked, luna.asked) == (1, 1)
        kai.may_speak.set()
    assert (await file_of(previews.get(KAI, kai))).read_bytes() == b"kai"


async def test_a_cancelled_request_passes_the_synthesis_on(tmp_path: Path) -> None:
    previews, slow, quick = Previews(tmp_path), Speaker(b"slow", may=False), Speaker(b"quick")
    async with anyio.create_task_group() as group:
        group.start_soon(previews.get, KAI, slow)
        await until_asked(slow)
        group.cancel_scope.cancel()
    with anyio.fail_after(20):
        assert (await file_of(previews.get(KAI, quick))).read_bytes() == b"quick"


async def test_a_failed_preview_is_retried(tmp_path: Path) -> None:
    previews, speaker = Previews(tmp_path), Speaker(b"kai")

    async def full() -> bytes:
        raise Full("All voices are taken.")

    with pytest.raises(Full):
        await previews.get(KAI, full)
    assert [file async for file in anyio.Path(tmp_path).iterdir()] == []
    assert (await file_of(previews.get(KAI, speaker))).read_bytes() == b"kai"


async def test_a_preview_that_another_server_is_writing_is_left_alone(tmp_path: Path) -> None:
    """Servers may share the folder, and speak the same preview at the same time."""
    [previews, other] = [Previews(tmp_path) for _ in range(2)]
    kept = tmp_path / f"{KAI}.part"
    kept.write_bytes(b"half of")
    speakers = [Speaker(b"kai", may=False), Speaker(b"kai")]
    async with anyio.create_task_group() as group:
        group.start_soon(previews.get, KAI, speakers[0])
        await until_asked(speakers[0])
        file = await file_of(other.get(KAI, speakers[1]))
        speakers[0].may_speak.set()
    assert file.read_bytes() == b"kai"
    assert kept.read_bytes() == b"half of"
    assert {one.name for one in tmp_path.iterdir()} == {file.name, kept.name}  # noqa: ASYNC240


def test_a_read_only_disk_serves_cached_previews_and_stores_no_new_ones(tmp_path: Path) -> None:
    kai, luna = b"kai", b"luna"
    with small_disk(tmp_path):
        previews = Previews(tmp_path)

        async def preview(name: str, audio: bytes) -> Path | bytes:
            return await previews.get(name, Speaker(audio))

        kept = anyio.run(preview, KAI, kai)
        make_read_only(tmp_path)
        assert anyio.run(preview, KAI, b"spoken again") == kept
        assert anyio.run(preview, LUNA, luna) == luna
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [kai]


async def test_a_preview_that_does_not_fit_on_the_disk_leaves_no_file(tmp_path: Path) -> None:
    previews, audio = Previews(tmp_path), bytes(10_000)
    with files_limited_to(1000):
        assert await previews.get(KAI, Speaker(audio)) == audio
    assert [file async for file in anyio.Path(tmp_path).iterdir()] == []
    assert await file_of(previews.get(KAI, Speaker(audio))) == tmp_path / f"{KAI}.wav"


async def file_of(made: Awaitable[Path | bytes]) -> Path:
    file = await made
    assert isinstance(file, Path)
    return file


async def test_a_folder_that_cannot_be_made_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "previews").write_bytes(b"a file")
    with pytest.raises(StorageFailure):
        Previews(tmp_path / "previews")
