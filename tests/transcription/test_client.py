"""Transcription in a child process."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import numpy as np
import psutil
import pytest
import soundfile
from helpers import whisper_checkpoint

from streaming_server.errors import BadAudio, BadValue, Draining, Full, Unavailable
from streaming_server.transcription.client import MOST_WAITING, WHISPER_SIZES, Transcription, check_model

pytestmark = pytest.mark.anyio

SAID = "Guten Morgen, das ist eine Probe."


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that transcribes everything as SAID, in German."""
    return whisper_checkpoint.make(tmp_path_factory.mktemp("whisper") / "pinned.pt", say=SAID, language="de")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sample of three seconds in the stored format: mono, 44.1 kHz, 16 bits."""
    path = tmp_path_factory.mktemp("samples") / "sample.wav"
    noise = np.random.default_rng(0).normal(0.0, 0.1, 3 * 44_100)
    soundfile.write(path, noise, 44_100, subtype="PCM_16")
    return path


def _children() -> set[psutil.Process]:
    """The children of this process that run Python; a database of other tests starts some of its own."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if child.name().startswith("python"):
                found.add(child)
    return found


@asynccontextmanager
async def running(model: Path | str, **options: float) -> AsyncIterator[Transcription]:
    """Run a transcription; check that it leaves no process behind."""
    transcription = Transcription(str(model), lambda: "cpu", **options)
    before = _children()
    async with anyio.create_task_group() as group:
        group.start_soon(transcription.run)
        await anyio.wait_all_tasks_blocked()
        yield transcription
        group.cancel_scope.cancel()
    assert _children() <= before
    assert transcription.pid is None


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.01)


def gone(pid: int) -> bool:
    """Return whether the process has exited and been reaped."""
    return not psutil.pid_exists(pid)


async def test_transcribes_a_file(checkpoint: Path, sample: Path) -> None:
    async with running(checkpoint) as transcription:
        assert transcription.status()["state"] == "off"
        transcript = await transcription.transcribe(sample, 3.0)
        status = transcription.status()
        assert transcription.pid is not None
        assert psutil.Process(transcription.pid).nice() >= 10
        if sys.platform == "linux":
            assert os.sched_getscheduler(transcription.pid) == os.SCHED_IDLE
        assert "whisper" not in sys.modules
    assert transcript.text == SAID
    assert transcript.language == "de"
    assert transcript.language_probability is not None
    assert 0.5 < transcript.language_probability < 0.9
    assert transcript.source == "whisper"
    assert transcript.findings == ()
    assert status == {
        "available": True,
        "model_loaded": True,
        "model_size": "pinned",
        "device": "cpu",
        "state": "ready",
        "busy": False,
        "waiting": 0,
        "reason": None,
    }


async def test_one_process_answers_each_request_with_its_own_file(checkpoint: Path, sample: Path) -> None:
    """An unreadable file fails alone; the process and the queue go on."""
    broken = sample.with_name("broken.wav")
    broken.write_bytes(b"RIFF\x00\x00\x00\x00WAVE")
    empty = sample.with_name("empty.wav")
    soundfile.write(empty, np.zeros(0), 44_100)
    long = sample.with_name("long.wav")
    soundfile.write(long, np.zeros(121 * 8000), 8000)
    answers: dict[str, str] = {}

    async def ask(name: str) -> None:
        try:
            answers[name] = (await transcription.transcribe(sample.with_name(name), 3.0)).text
        except BadAudio as error:
            answers[name] = error.message

    async with running(checkpoint) as transcription:
        await transcription.load()
        pid = transcription.pid
        async with anyio.create_task_group() as group:
            for name in ("broken.wav", "sample.wav", "missing.wav", "empty.wav", "long.wav"):
                group.start_soon(ask, name)
        assert (await transcription.transcribe(sample, 3.0)).text == SAID
        assert transcription.pid == pid
    assert answers == {
        "broken.wav": "The sample could not be read.",
        "missing.wav": "The sample could not be read.",
        "empty.wav": "The sample has no sound.",
        "long.wav": "The sample is too long to transcribe; the limit is 120 seconds.",
        "sample.wav": SAID,
    }


async def test_silence_is_no_speech(checkpoint: Path, sample: Path) -> None:
    async with running(checkpoint.with_name("silence.pt")) as transcription:
        transcript = await transcription.transcribe(sample, 3.0)
    assert transcript.text == ""
    assert transcript.findings == ("no_speech",)
    assert not transcript.trustworthy


@pytest.mark.slow
async def test_a_transcript_by_random_weights_is_not_trustworthy(checkpoint: Path, sample: Path) -> None:
    """Through every temperature openai-whisper falls back to, with the same text both times."""
    async with running(checkpoint.with_name("random.pt")) as transcription:
        first = await transcription.transcribe(sample, 3.0)
        second = await transcription.transcribe(sample, 3.0)
    assert first == second
    assert not first.trustworthy


async def test_the_process_starts_on_demand_and_ends_when_idle(checkpoint: Path) -> None:
    async with running(checkpoint, idle_s=0.2) as transcription:
        assert transcription.pid is None
        await transcription.load()
        pid = transcription.pid
        assert pid is not None
        await until(lambda: transcription.status()["state"] == "off")
        assert gone(pid)


@asynccontextmanager
async def killing(transcription: Transcription, pid: int) -> AsyncIterator[None]:
    """Kill the process once it works on the request made inside."""

    async def kill() -> None:
        await until(lambda: bool(transcription.status()["busy"]))
        os.kill(pid, signal.SIGKILL)

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(kill)
            yield
    except ExceptionGroup as group_of_one:
        raise group_of_one.exceptions[0] from None


@pytest.mark.slow
async def test_a_killed_process_fails_only_its_current_request(checkpoint: Path, sample: Path) -> None:
    async with running(checkpoint) as transcription:
        await transcription.load()
        at_work = transcription.pid
        assert at_work is not None
        os.kill(at_work, signal.SIGSTOP)
        with pytest.raises(Unavailable, match="SIGKILL"):
            async with killing(transcription, at_work):
                await transcription.transcribe(sample, 3.0)
        assert transcription.status()["state"] == "failed"
        assert "SIGKILL" in transcription.status()["reason"]

        await transcription.load()
        idle = transcription.pid
        assert idle is not None
        assert transcription.status()["reason"] is None
        os.kill(idle, signal.SIGKILL)
        await until(lambda: transcription.status()["state"] == "failed")
        assert "SIGKILL" in transcription.status()["reason"]
        assert gone(at_work)
        assert gone(idle)
        assert (await transcription.transcribe(sample, 3.0)).text == SAID


@pytest.mark.slow
async def test_requests_are_answered_by_their_deadline(checkpoint: Path, sample: Path) -> None:
    """A load that takes longer goes on; a process that hangs is killed."""
    async with running(checkpoint, timeout_s=0.5) as transcription:
        with pytest.raises(Full, match="still being loaded"):
            await transcription.transcribe(sample, 3.0)
        pid = transcription.pid
        assert pid is not None
        await transcription.load()
        assert transcription.pid == pid

        os.kill(pid, signal.SIGSTOP)
        started = anyio.current_time()
        with pytest.raises(Unavailable, match="took too long"):
            await transcription.transcribe(sample, 3.0)
        assert 0.5 <= anyio.current_time() - started < 1.5
        await until(lambda: transcription.status()["state"] == "failed")
        assert gone(pid)


async def test_the_queue_is_bounded(checkpoint: Path, sample: Path) -> None:
    refused: list[str] = []

    async def ask() -> None:
        try:
            await transcription.transcribe(sample, 3.0)
        except Unavailable as error:
            refused.append(error.code)

    async with running(checkpoint, timeout_s=1.0) as transcription:
        await transcription.load()
        assert transcription.pid is not None
        os.kill(transcription.pid, signal.SIGSTOP)
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await until(lambda: bool(transcription.status()["busy"]))
            async with anyio.create_task_group() as impatient:
                for _ in range(MOST_WAITING):
                    impatient.start_soon(ask)
                await until(lambda: transcription.status()["waiting"] == MOST_WAITING)
                impatient.cancel_scope.cancel()
            assert transcription.status()["waiting"] == 0  # A cancelled request leaves the queue.
            for _ in range(MOST_WAITING):
                group.start_soon(ask)
            await until(lambda: transcription.status()["waiting"] == MOST_WAITING)
            with pytest.raises(Full):
                await transcription.transcribe(sample, 3.0)
        assert sorted(refused) == ["full"] * MOST_WAITING + ["unavailable"]


async def test_missing_weights_are_reported_with_advice(
    tmp_path: Path, sample: Path, checkpoint: Path
) -> None:
    """The weights can be added while the server runs."""
    model = tmp_path / "model.pt"
    async with running(model) as transcription:
        with pytest.raises(Unavailable, match="DIA_WHISPER_MODEL") as missing:
            await transcription.transcribe(sample, 3.0)
        assert transcription.status()["reason"] == missing.value.message
        shutil.copy(sample, model)
        with pytest.raises(
            Unavailable, match=r"DIA_WHISPER_MODEL.*it is not a complete Whisper checkpoint"
        ) as wrong:
            await transcription.load()
        assert transcription.status()["state"] == "failed"
        assert transcription.status()["reason"] == wrong.value.message
        assert str(tmp_path) not in missing.value.message + wrong.value.message
        shutil.copy(checkpoint, model)
        await transcription.load()
        assert transcription.status()["state"] == "ready"


@pytest.mark.slow
async def test_a_failed_download_is_reported_with_advice(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens at that proxy, so the process has no network."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    transcription = Transcription("base", lambda: "cpu")
    async with anyio.create_task_group() as group:
        group.start_soon(transcription.run)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(
            Unavailable,
            match=r"could not be downloaded.*--whisper-model /path/to/base\.pt \(DIA_WHISPER_MODEL\)",
        ):
            await transcription.transcribe(sample, 3.0)
        assert transcription.status()["model_size"] == "base"
        assert transcription.status()["model_loaded"] is False
        group.cancel_scope.cancel()


@pytest.mark.slow
async def test_a_gpu_that_is_not_present(checkpoint: Path) -> None:
    transcription = Transcription(str(checkpoint), lambda: "cuda:97")
    async with anyio.create_task_group() as group:
        group.start_soon(transcription.run)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="GPU"):
            await transcription.load()
        group.cancel_scope.cancel()


async def test_the_process_has_none_of_the_servers_secrets(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ("DIA_API_KEYS", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "SOMEBODY_ELSES_KEY")
    needed = ("XDG_CACHE_HOME", "LD_PRELOAD", "https_proxy", "HTTP_PROXY", "CUDA_CACHE_PATH", "TMPDIR")
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    for name in needed:
        monkeypatch.setenv(name, os.environ.get(name, ""))
    async with running(checkpoint) as transcription:
        await transcription.load()
        assert transcription.pid is not None
        environment = psutil.Process(transcription.pid).environ()
    assert "secret" not in environment.values()
    assert environment.keys() >= {"PATH", "CUDA_VISIBLE_DEVICES", *needed}


async def test_without_openai_whisper_the_error_names_the_package(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [str(tmp_path)])
        transcription = Transcription("base", lambda: "cpu")
    assert transcription.status()["available"] is False
    assert 'pip install "streaming-server[whisper]"' in transcription.status()["reason"]
    with pytest.raises(Unavailable, match="openai-whisper"):
        await transcription.transcribe(sample, 3.0)


async def test_stopping_answers_all_requests_and_leaves_no_process(checkpoint: Path, sample: Path) -> None:
    answers: list[str] = []

    async def ask() -> None:
        try:
            await transcription.transcribe(sample, 3.0)
        except Draining as error:
            answers.append(error.code)

    async with anyio.create_task_group() as outer:
        async with running(checkpoint) as transcription:
            for _ in range(3):
                outer.start_soon(ask)
            await until(lambda: transcription.status()["waiting"] == 2 and transcription.pid is not None)
            pid = transcription.pid
            assert pid is not None
        await until(lambda: len(answers) == 3)
    assert gone(pid)
    with pytest.raises(Draining):
        await transcription.load()


async def test_the_process_dies_with_the_server(checkpoint: Path) -> None:
    """Even if the server is killed and the process hangs."""
    script = (
        "import anyio, sys\n"
        "from streaming_server.transcription.client import Transcription\n"
        "async def main():\n"
        "    transcription = Transcription(sys.argv[1], lambda: 'cpu')\n"
        "    async with anyio.create_task_group() as group:\n"
        "        group.start_soon(transcription.run)\n"
        "        await anyio.wait_all_tasks_blocked()\n"
        "        await transcription.load()\n"
        "        print('child', transcription.pid, 'loaded', flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    command = [sys.executable, "-c", script, str(checkpoint)]
    async with await anyio.open_process(command, stderr=None) as server:
        assert server.stdout is not None
        told = b""
        try:
            while (loaded := re.search(rb"child (\d+) loaded", told)) is None:
                told += await server.stdout.receive()
            child = psutil.Process(int(loaded[1]))
            child.suspend()
        finally:
            server.kill()
    # A zombie is left to the process that adopted it.
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_sizes_match_openai_whisper() -> None:
    if importlib.util.find_spec("whisper") is None:
        pytest.skip("openai-whisper is not installed")
    program = "import whisper; print(*whisper.available_models())"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert set(asked.stdout.split()) == set(WHISPER_SIZES)


def test_a_model_is_a_size_or_the_one_configured(tmp_path: Path) -> None:
    (tmp_path / "there.pt").touch()
    for model in ("tiny.en", "turbo", str(tmp_path / "weights.pt")):
        check_model(model, str(tmp_path / "weights.pt"), "field")
    for model in ("huge", "Base", str(tmp_path), str(tmp_path / "there.pt"), "\0", "x" * 4096, "~" * 300):
        with pytest.raises(BadValue, match="field: must be the model of --whisper-model or one of tiny"):
            check_model(model, "base", "field")
