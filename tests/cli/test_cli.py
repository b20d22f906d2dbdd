"""The commands, run like a user would."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import pytest
import soundfile
from helpers.foreign import native_audio
from helpers.servers import START_TIMEOUT_S, Server, free_port, until

from streaming_server.cli.local_server import answers
from streaming_server.cli.main import main, settings_of
from streaming_server.cli.say import SayCommand, key_to_send
from streaming_server.cli.signals import ending_signals

ROOT = Path(__file__).parents[2]


def run(*arguments: str, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIA_")}
    return subprocess.run(
        [sys.executable, "run.py", *arguments],
        cwd=ROOT,
        env={**clean, "COLUMNS": "200", "DIA_ENGINE": "espeak", **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def call(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Return a function that runs in this process a command that ends before it starts anything."""
    for name in os.environ:
        if name.startswith("DIA_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DIA_ENGINE", "espeak")
    monkeypatch.setenv("COLUMNS", "200")
    handlers = {number: signal.getsignal(number) for number in ending_signals()}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return subprocess.CompletedProcess(arguments, status, *capfd.readouterr())

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def unfinished_bytes(out: Path) -> int:
    """Return the size of the temporary files beside the output file."""
    return sum(part.stat().st_size for part in out.parent.glob(".say-*.part"))


def seconds(path: Path) -> float:
    with wave.open(str(path)) as file:
        assert file.getnchannels() == 1
        assert file.getsampwidth() == 2
        return file.getnframes() / file.getframerate()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["serve", "say", "bench", "--port", "--max-workers", "--api-keys", "--show-prompts"]),
        ([], ["engine espeak:", "engine dia:", "--model", "--codec", "--slots", "--quantize"]),
        ([], ["--disable-torch-compile"]),
        (["serve"], ["--host", "--gpu-mode", "--gpu-ids", "--data-dir", "--allowed-origins", "--log-level"]),
        (["say"], ["TEXT", "--voice", "--out", "--speed", "--pitch", "--language", "--url"]),
        (["say"], ["--seed", "--voices", "--no-text-processing"]),
        (["bench"], ["--sessions", "--tokens-per-second", "--url", "--json"]),
    ],
)
def test_help_is_complete(
    call: Callable[..., subprocess.CompletedProcess[str]], command: list[str], words: list[str]
) -> None:
    answer = call(*command, "--help")
    assert not re.search(r"tuple\[|SecretStr|Mapping\[|None\)|null\)|lambda|False|factory|: '", answer.stdout)
    assert answer.returncode == 0
    for word in words:
        assert word in answer.stdout, word
    for line in answer.stdout.splitlines():
        assert not re.match(r"\s+--no-\S+\s+keep", line), line


def test_the_version_is_that_of_the_package(call: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    answer = call("--version")
    assert (answer.returncode, answer.stdout) == (0, f"{metadata.version('streaming-server')}\n")


@pytest.mark.parametrize(
    ("earlier", "meant"),
    [
        ("--host 0.0.0.0 --port 8000 --debug --save-outputs --show-prompts --retention-hours 48 --no-auth",
         {"host": "0.0.0.0", "port": 8000, "debug": True, "save_outputs": True, "show_prompts": True,
          "retention_hours": 48}),
        ("--workers 4 --no-torch-compile --gpu-mode single --gpus 0,1",
         {"max_workers": 4, "gpu_mode": "single", "gpu_ids": (0, 1)}),
        ("--dev", {"debug": True, "show_prompts": True}),
        ("--production", {"debug": False, "save_outputs": False, "show_prompts": False}),
        ("--force-cpu", {"gpu_mode": "cpu"}),
    ],
)  # fmt: skip
def test_flags_of_the_earlier_server_keep_their_meaning(earlier: str, meant: dict[str, Any]) -> None:
    settings, _ = settings_of(earlier.split())
    assert {name: getattr(settings, name) for name in meant} == meant


@pytest.mark.parametrize("flag", ["--no-torch-compile", "--disable-torch-compile"])
def test_the_earlier_servers_switch_for_dia_configures_dia(flag: str) -> None:
    assert settings_of(["--engine=dia", flag])[1].settings.disable_torch_compile is True
    assert settings_of(["--engine=dia"])[1].settings.disable_torch_compile is False


def test_say_speaks_through_a_running_server(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "hello.wav"
    answer = run("say", "Hello there.", "--out", str(out), "--url", server.url)
    assert answer.returncode == 0, answer.stderr
    assert 0.5 < seconds(out) < 2
    assert "first audio after" in answer.stderr


@pytest.mark.anyio
async def test_say_takes_the_options_of_every_door(server: Server, tmp_path: Path) -> None:
    text, out = "[S1] *One* and 2*3.", tmp_path / "said.pcm"
    options = {"voices": {"S1": "atlas"}, "text_processing": False}
    said = ["say", text, "--out", str(out), "--url", server.url]
    answer = run(*said, "--voices=S1=atlas", "--no-text-processing", "--seed=7")
    assert answer.returncode == 0, answer.stderr
    assert "This engine ignores: seed." in answer.stderr
    assert out.read_bytes() == await native_audio(server, text, **options)
    assert run(*said, "--voices=S1=atlas").returncode == 0
    assert out.read_bytes() == await native_audio(server, text, voices={"S1": "atlas"})
    refused = run(*said, "--voices=S3=atlas")
    assert refused.returncode == 2
    assert "voices.S3: is not a known field." in refused.stderr


def test_say_starts_a_server_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "hello.wav"
    answer = run("say", "Hello there.", "--voice=kai", "--out", str(out), "--port", str(free_port()))
    assert answer.returncode == 0, answer.stderr
    assert 0.5 < seconds(out) < 2


def test_the_own_server_needs_no_key(tmp_path: Path) -> None:
    """No other machine can reach the server that `say` starts."""
    out = tmp_path / "hello.wav"
    answer = run("say", "Hello.", "--out", str(out), "--port", str(free_port()), DIA_API_KEYS="secret")
    assert answer.returncode == 0, answer.stderr
    assert seconds(out) > 0.3


def test_the_own_server_takes_no_part_in_another_installation(tmp_path: Path) -> None:
    out = tmp_path / "hello.wav"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = {
            "DIA_DATABASE": "postgresql://speech:secret@127.0.0.1:1/speech",
            "DIA_OBJECTS": "s3://speech",
            "DIA_WYOMING_HOST": "127.0.0.1",
            "DIA_WYOMING_PORT": str(taken.getsockname()[1]),
        }
        answer = run("say", "Hello.", "--out", str(out), "--port", str(free_port()), **other)
    assert answer.returncode == 0, answer.stderr
    assert seconds(out) > 0.3


def test_say_does_not_use_a_proxy(server: Server, tmp_path: Path) -> None:
    proxy = {"http_proxy": f"http://127.0.0.1:{free_port()}", "no_proxy": ""}
    answer = run("say", "Hello.", f"--out={tmp_path / 'hello.wav'}", f"--port={server.port}", **proxy)
    assert answer.returncode == 0, answer.stderr
    answer = run("say", "Hello.", f"--out={tmp_path / 'hello.wav'}", f"--port={free_port()}", **proxy)
    assert answer.returncode == 0, answer.stderr


def test_rejects_a_port_that_does_not_speak_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"SSH-2.0-x\r\n")

        greeting = threading.Thread(target=greet)
        greeting.start()
        assert not answers(f"http://127.0.0.1:{listener.getsockname()[1]}/livez")
        greeting.join()


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ({}, "secret"),
        ({"host": "::1"}, "secret"),
        ({"host": "0.0.0.0"}, "secret"),
        ({"host": "tts.example.org"}, None),
        ({"url": "http://127.0.0.1:7860"}, None),
        ({"host": "tts.example.org", "key": "theirs"}, "theirs"),
    ],
)
def test_the_key_of_local_servers_is_sent_to_no_others(
    where: dict[str, Any], key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIA_API_KEYS", "secret,another")
    assert key_to_send(SayCommand(text="Hello.", **where)) == key


def test_ignored_signals_stay_ignored(server: Server, tmp_path: Path) -> None:
    """nohup ignores SIGHUP."""
    out = tmp_path / "long.wav"
    story = "This is a very long story that goes on and on. " * 1000
    say = f"trap '' HUP; exec {sys.executable} run.py say - --url={server.url} --out={out}"
    with subprocess.Popen(["bash", "-c", say], stdin=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin is not None
        process.stdin.write(story.encode())
        process.stdin.close()
        until(lambda: unfinished_bytes(out) > 100_000)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0
    assert seconds(out) > 60


def test_a_server_without_tls_is_named(server: Server, tmp_path: Path) -> None:
    url = server.url.replace("http", "https")
    answer = run("say", "Hello.", "--out", str(tmp_path / "out.wav"), "--url", url)
    assert answer.returncode == 2
    assert f"TLS with {url} failed: " in answer.stderr


def test_say_writes_through_a_link(server: Server, tmp_path: Path) -> None:
    link, target = tmp_path / "link.wav", tmp_path / "elsewhere" / "real.wav"
    target.parent.mkdir()
    link.symlink_to(target)
    for _ in range(2):  # It need not exist.
        answer = run("say", "Hello.", "--out", str(link), "--url", server.url)
        assert answer.returncode == 0, answer.stderr
        assert answer.stderr.startswith(f"{link}: ")
        assert link.is_symlink()
        assert seconds(target) > 0.3


def test_say_joins_words_without_quotes(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "hello.wav"
    answer = run("say", "Hello", "there,", "everybody", "in", "here.", "--out", str(out), "--url", server.url)
    assert answer.returncode == 0, answer.stderr
    assert seconds(out) > 1


def test_two_commands_may_write_the_same_file(server: Server, tmp_path: Path) -> None:
    """Each writes a temporary file, and the last one to finish replaces the other's."""
    out = tmp_path / "same.wav"
    texts = ["One. " * 200, "This is quite another and a longer text. " * 60]
    say = [sys.executable, "run.py", "say", "-", f"--url={server.url}"]
    lengths = []
    for number, text in enumerate(texts):
        alone = tmp_path / f"alone-{number}.wav"
        subprocess.run([*say, f"--out={alone}"], cwd=ROOT, input=text.encode(), check=True)
        lengths.append(alone.stat().st_size)
        alone.unlink()
    with ExitStack() as running:
        commands = []
        for number, text in enumerate(texts, 1):
            command = running.enter_context(
                subprocess.Popen([*say, f"--out={out}"], cwd=ROOT, stdin=subprocess.PIPE)
            )
            running.callback(command.kill)
            commands.append(command)
            assert command.stdin is not None
            command.stdin.write(text.encode())
            command.stdin.close()
            until(lambda number=number: len(list(tmp_path.glob(".say-*.part"))) == number, 30)
            command.send_signal(signal.SIGSTOP)  # Or it may be done before the next one begins.
        for command in commands:
            command.send_signal(signal.SIGCONT)
        assert [command.wait(60) for command in commands] == [0, 0]
    assert out.stat().st_size in lengths
    assert list(tmp_path.iterdir()) == [out]


def test_say_leaves_other_files_alone(server: Server, tmp_path: Path) -> None:
    mine = tmp_path / "hello.wav.part"
    mine.write_bytes(b"mine")
    out = tmp_path / "hello.wav"
    assert run("say", "Hello.", "--out", str(out), "--url", server.url).returncode == 0
    assert mine.read_bytes() == b"mine"
    assert sorted(tmp_path.iterdir()) == [out, mine]


def test_a_file_has_the_permissions_of_the_umask(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "hello.wav"
    before = os.umask(0o022)
    try:
        assert run("say", "Hello.", "--out", str(out), "--url", server.url).returncode == 0
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["hello.mp3", "hello.opus", "hello.FLAC"])
def test_say_writes_the_format_of_the_ending(server: Server, tmp_path: Path, name: str) -> None:
    assert run("say", "Hello there.", "--out", str(tmp_path / name), "--url", server.url).returncode == 0
    with soundfile.SoundFile(tmp_path / name) as file:
        assert 0.5 < file.frames / file.samplerate < 2
        assert file.format == {"mp3": "MP3", "opus": "OGG", "flac": "FLAC"}[name.lower().rpartition(".")[2]]


def test_say_writes_to_standard_output(server: Server) -> None:
    command = [sys.executable, "run.py", "say", "Hello there.", "--out=-", f"--url={server.url}"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=50, check=True)
    assert answer.stdout[:4] == b"RIFF"
    assert 0.5 < (len(answer.stdout) - 44) / 2 / 22050 < 2
    assert b"first audio after" in answer.stderr


def test_say_reports_a_closed_pipe(server: Server) -> None:
    say = f"{sys.executable} run.py say - --out - --url {server.url} | head -c 100000 | wc -c"
    story = "This is a very long story that goes on and on. " * 300
    answer = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {say}"],
        cwd=ROOT,
        input=story,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout.strip()) == (2, "100000")
    assert answer.stderr.splitlines()[-1] == "run.py: --out -: Broken pipe."


def test_say_shows_progress(server: Server, tmp_path: Path) -> None:
    say = ["say", "-", "--out", str(tmp_path / "long.wav"), "--url", server.url]
    answer = run(*say, stdin="One more sentence. " * 1000, FORCE_COLOR="1", TTY_COMPATIBLE="1")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", answer.stderr)
    assert len(set(re.findall(r"(\d+\.\d) s", shown))) > 2, shown


def test_say_replaces_invalid_utf8(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "hello.wav"
    broken = os.fsdecode(b"\xff hello there")
    answer = run("say", broken, "--out", str(out), "--url", server.url)
    assert answer.returncode == 0, answer.stderr


def test_say_reads_a_long_text_from_standard_input(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "long.wav"
    answer = run("say", "-", "--out", str(out), "--url", server.url, stdin="One more sentence. " * 600)
    assert answer.returncode == 0, answer.stderr
    assert seconds(out) > 300


def test_a_failed_say_keeps_the_existing_file(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "kept.wav"
    out.write_bytes(b"before")
    assert run("say", "...", "--out", str(out), "--url", server.url).returncode == 2
    assert out.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [out]


def test_say_sends_a_key(start_server: Callable[..., Server], tmp_path: Path) -> None:
    locked = start_server("--max-workers=1", DIA_API_KEYS="secret")
    out = tmp_path / "hello.wav"
    say = ["say", "Hello.", "--out", str(out), "--url", locked.url]
    assert run(*say, "--key=secret").returncode == 0
    for wrong in (["--key=wrong"], []):
        refused = run(*say, *wrong)
        assert refused.returncode == 2
        assert "--key" in refused.stderr
        assert "Traceback" not in refused.stderr
    here = ["say", "Hello.", "--out", str(out), "--port", str(locked.port)]
    assert run(*here, DIA_API_KEYS="secret,other").returncode == 0
    assert run(*say, DIA_API_KEYS="secret,other").returncode == 2  # Another server is not told our keys.


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["dance"], "Unknown command 'dance'"),
        (["say", "Hello.", "--voice=nobody"], "voice"),
        (["bench", "--url=http://127.0.0.1:1"], "127.0.0.1:1/ws/speak did not speak: Connection refused"),
        (["--data-dir=README.md"], "README.md cannot be used: This is a file"),
        (["--host=999.1.1.1", "--no-auth"], "--host 999.1.1.1"),
        (["say", "Hello.", "--url=http://127.0.0.1:1"], "No server answers at http://127.0.0.1:1"),
        (["--gpu-ids=1"], "GPUs"),
    ],
)
def test_a_mistake_gives_a_message_and_status_2(arguments: list[str], complaint: str, server: Server) -> None:
    if arguments[0] == "say" and not any(part.startswith("--url") for part in arguments):
        arguments = [*arguments, "--url", server.url]
    answer = run(*arguments)
    assert answer.returncode == 2
    assert complaint in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port=99999"], "--port: must be a whole number from 0 to 65535."),
        (["--host=0.0.0.0"], "--no-auth"),
        (["--port=x"], "--port: must be a whole number from 0 to 65535."),
        (["--gpu-ids=0,x"], "--gpu-ids: must be a whole number."),
        (["--ping-s=0"], "--ping-s: must be a number, more than 0."),
        (["--log-level=loud"], "--log-level: must be one of debug, info, warning, error."),
        (["--voice-aliases=alloy"], "--voice-aliases: must be NAME=VOICE pairs, comma-separated."),
        (["say", "..."], "nothing to speak"),
        (["say", "Hello.", "--out=/nowhere/at/all.wav"], "--out /nowhere/at/all.wav: there is no folder"),
        (["say", "Hello.", "--out=tests"], "--out tests: this is a folder"),
        (["say", "Hello.", "--out=hello.doc"], ".wav, .mp3"),
        (["bench", "--sessions=abc"], "--sessions: "),
        (["say", "Hello.", "--url=foo"], "--url: the address must begin with http:// or https://."),
        (["say", "Hello.", "--url=ws://127.0.0.1:7860/ws/speak"], "--url: the address must begin with http"),
        (["say", "Hello.", "--port=99999"], "--port: must be a whole number from 1 to 65535."),
        (["bench", "--url=127.0.0.1:7860"], "--url"),
        (["bench", "--url=http://127.0.0.1:99999"], "--url"),
        (["--engine=magic"], "Engine magic is not installed; available: auto, dia, espeak"),
        (["--quantize=int8"], "--quantize has no effect with --engine espeak; use --engine dia."),
        (["--engine=dia", "--quantize=int4"], "--quantize: must be int8."),
        (["--engine=dia", "--slots=0"], "--slots: must be a whole number from 1 to 1024."),
    ],
)
def test_a_mistake_in_the_arguments_gives_a_message_and_status_2(
    call: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str], complaint: str
) -> None:
    answer = call(*arguments)
    assert answer.returncode == 2
    assert complaint in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_missing_model_gives_a_message(tmp_path: Path) -> None:
    answer = run("--engine=dia", f"--model={tmp_path}/nothing", f"--port={free_port()}")
    assert answer.returncode == 2
    assert f"--model (DIA_MODEL) is not a directory: {tmp_path}/nothing" in answer.stderr.splitlines()[-1]
    assert "Traceback" not in answer.stderr


@pytest.mark.slow
def test_the_model_is_checked_before_the_codec(tmp_path: Path) -> None:
    answer = run("--engine=dia", f"--model={tmp_path}", f"--port={free_port()}")
    assert answer.returncode == 2
    assert "config.json" in answer.stderr.splitlines()[-1]


def test_a_port_in_use_is_reported(server: Server) -> None:
    answer = run(f"--port={server.port}")
    assert answer.returncode == 2
    assert f"--port {server.port}: Address already in use" in answer.stderr


def test_an_alias_of_an_unknown_voice_is_warned_about(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--voice-aliases=foo=nobody")
    server.until_logged("alias of an unknown voice")


def test_say_stops_at_once_when_interrupted(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "long.wav"
    command = [sys.executable, "run.py", "say", "-", f"--url={server.url}", f"--out={out}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin is not None
        process.stdin.write(b"This is a very long story that goes on and on. " * 1000)
        process.stdin.close()
        until(lambda: unfinished_bytes(out) > 100_000)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_say_stops_its_own_server(tmp_path: Path, how: signal.Signals) -> None:
    """A Ctrl-C at a terminal goes to every process of the group, and people press it twice."""
    temporary, out = tmp_path / "temporary", tmp_path / "long.wav"
    temporary.mkdir()
    command = [sys.executable, "run.py", "say", "-", f"--port={free_port()}", f"--out={out}"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "DIA_ENGINE": "espeak", "DIA_MAX_WORKERS": "1"},
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"This is a very long story that goes on and on. " * 1000)
        process.stdin.close()
        until(lambda: unfinished_bytes(out) > 100_000, START_TIMEOUT_S)
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        os.killpg(process.pid, how)
        os.killpg(process.pid, how)
        assert process.wait(10) == 130
        assert b"Traceback" not in process.stderr.read()
    assert psutil.wait_procs(started, timeout=20)[1] == []
    assert list(temporary.iterdir()) == []
