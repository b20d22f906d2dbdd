"""The store of voices after its process was killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import wave
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from helpers import store_writer
from helpers.databases import Place
from helpers.voice_store import files, opened

from streaming_server.storage.sqlite import FILE_NAME


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_hundred_kills_leave_no_partial_voice_sample(tmp_path: Path) -> None:
    choice = random.Random(20_240_607)
    acknowledged: object = [{}, {}]
    changes = interrupted = leftovers = 0
    for kill in range(200):
        told = killed_writer(tmp_path, kill, choice)
        done = [json.loads(before) for before, after in pairwise(told) if after == b"done"]
        changes += len(done)
        acknowledged = done[-1] if done else acknowledged
        pending = json.loads(told[-1]) if told and told[-1] != b"done" else acknowledged
        interrupted += pending != acknowledged
        acknowledged = state_on_disk(tmp_path, (acknowledged, pending))
        with opened(Place(tmp_path)) as store:
            leftovers += bool(store.sweep())
            assert files(tmp_path / "tmp") == set()
            assert files(tmp_path / "prompts") == {
                voice_sample.path.name for voice_sample in store.voice_samples()
            }
    # The kills came where they hurt.
    assert changes > 200
    assert interrupted > 50
    assert leftovers > 20


def killed_writer(data_dir: Path, seed: int, choice: random.Random) -> list[bytes]:
    """Return the output of a writer killed at a random moment, during its start or its work."""
    command = [sys.executable, store_writer.__file__, str(data_dir), str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
        assert writer.stdout is not None
        try:
            # Counted in lines, so that a busy machine sees as many changes.
            begun = choice.random() > 0.1
            told = b"".join(writer.stdout.readline() for _ in range(begun and choice.randint(1, 8)))
            time.sleep(choice.uniform(0.0, 0.01 if begun else 0.12))
        finally:
            writer.kill()
        told += writer.stdout.read()
    assert writer.returncode == -signal.SIGKILL
    return told.splitlines()


def state_on_disk(data_dir: Path, allowed: tuple[object, object]) -> object:
    """Return which of two consistent states a reader finds after a kill, before any cleanup."""
    path = data_dir / FILE_NAME
    if not path.exists():
        assert allowed == ([{}, {}], [{}, {}])
        return allowed[0]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        if not connection.execute("PRAGMA user_version").fetchone()[0]:
            assert allowed == ([{}, {}], [{}, {}])
            return allowed[0]
        rows = connection.execute("SELECT id, sha256, duration_s, waveform FROM prompts").fetchall()
        voices = dict(connection.execute("SELECT id, prompt FROM voices").fetchall())
    for _, sha256, duration_s, waveform in rows:
        recording = data_dir / "prompts" / f"{sha256}.wav"
        assert hashlib.sha256(recording.read_bytes()).hexdigest() == sha256
        with wave.open(str(recording)) as recorded:
            assert recorded.getnframes() / recorded.getframerate() == pytest.approx(duration_s)
            assert recorded.getnframes() == json.loads(waveform)[1]
    state = [{row[0]: json.loads(row[3]) for row in rows}, voices]
    assert state in allowed
    return state
