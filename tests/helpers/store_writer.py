"""Uploads, replaces and deletes without end, until it is killed.

`python store_writer.py DATA_DIR SEED` writes a line to standard output before each change, the state that the
change leads to, and the line `done` after it.
"""

from __future__ import annotations

import json
import os
import random
import struct
import sys
from pathlib import Path

from streaming_server.storage.objects import FolderObjects
from streaming_server.storage.sqlite import SqliteDatabase
from streaming_server.storage.voice_records import StoredVoice
from streaming_server.storage.voices import VoiceStore

RATE = 44100
VOICE_SAMPLES = ("ann", "Bob", "шум")
VOICES = ("reader", "aria")


def wav_of(samples: int, salt: int) -> bytes:
    """Return a mono 16-bit WAV file that depends on the salt."""
    data = struct.pack("<h", salt & 0x7FFF) * samples
    head = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    fields = b"WAVEfmt " + head + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + fields + data


def upload(store: VoiceStore, voice_sample_id: str, samples: int, salt: int) -> None:
    path = store.new_temporary()
    path.write_bytes(wav_of(samples, salt))
    store.put_voice_sample(
        voice_sample_id,
        path,
        duration_s=samples / RATE,
        sample_rate=RATE,
        original_format="wav",
        original_sample_rate=RATE,
        channels=1,
        waveform=(salt, samples),
    )


class Writer:
    """Writes to the store and tracks its expected state: prompts with waveforms, voices with prompts."""

    def __init__(self, store: VoiceStore, choice: random.Random) -> None:
        self._store = store
        self._choice = choice
        self._voice_samples = {
            voice_sample.id: list(voice_sample.waveform) for voice_sample in store.voice_samples()
        }
        self._voices = {voice.id: voice.voice_sample for voice in store.voices() if not voice.builtin}

    def change(self) -> None:
        match self._choice.choice(("upload", "upload", "delete", "voice", "unvoice")):
            case "upload":
                voice_sample_id = self._choice.choice(VOICE_SAMPLES)
                # Few salts, so that two prompts share a file now and then.
                salt, samples = self._choice.randrange(4), self._choice.choice((500, 5000, 50_000))
                self._voice_samples[voice_sample_id] = [salt, samples]
                self._tell()
                upload(self._store, voice_sample_id, samples, salt)
            case "delete" if self._voice_samples:
                voice_sample_id = self._choice.choice(list(self._voice_samples))
                del self._voice_samples[voice_sample_id]
                for voice_id, voice_sample in self._voices.items():
                    if voice_sample == voice_sample_id:
                        self._voices[voice_id] = None
                self._tell()
                self._store.delete_voice_sample(voice_sample_id, force=True)
            case "voice" if self._voice_samples:
                voice_id, voice_sample_id = (
                    self._choice.choice(VOICES),
                    self._choice.choice(list(self._voice_samples)),
                )
                self._voices[voice_id] = voice_sample_id
                self._tell()
                self._store.put_voice(StoredVoice(voice_id, voice_id, voice_sample=voice_sample_id))
            case "unvoice" if self._voices:
                voice_id = self._choice.choice(list(self._voices))
                del self._voices[voice_id]
                self._tell()
                self._store.delete_voice(voice_id)
            case _:
                return
        os.write(1, b"done\n")

    def _tell(self) -> None:
        os.write(1, json.dumps([self._voice_samples, self._voices]).encode() + b"\n")


def main() -> None:
    data_dir = Path(sys.argv[1])
    store = VoiceStore(SqliteDatabase(data_dir), FolderObjects(data_dir / "prompts"), data_dir / "tmp")
    store.sweep()
    writer = Writer(store, random.Random(sys.argv[2]))
    while True:
        writer.change()


if __name__ == "__main__":
    main()
