"""The transcriber: one child process that holds Whisper and transcribes one file at a time.

The server starts `python -m streaming_server.transcription.worker --fd N …`. All messages (see `messages`) go
over that socket: `TranscriberReady` or `TranscriberFailed` first, then one answer to each request. The
process exits when the socket closes.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import sys
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streaming_server.errors import BadAudio, SpeechError, Unavailable
from streaming_server.ipc.framing import FrameReader
from streaming_server.ipc.parent import end_with_parent, ignore_signals
from streaming_server.transcription.messages import (
    Answer,
    Refused,
    Transcribed,
    TranscriberFailed,
    TranscriberReady,
    decode_request,
    encode,
)
from streaming_server.transcription.transcript import Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from whisper import Whisper

LONGEST_S = 120.0
"""The longest file to transcribe."""
STALLED_S = 20.0
"""A download that has received nothing for this long has failed."""


class Transcriber:
    """A loaded model on "cpu" or "cuda"."""

    def __init__(self, model: Whisper, device: str) -> None:
        self._model = model
        self._device = device

    def transcribe(self, path: Path) -> Transcribed:
        """Return what is heard in a file. Raise BadAudio."""
        import torch

        audio = read(path)
        torch.manual_seed(0)  # Whisper samples when it is unsure; the same file must give the same text.
        language, probability = self._detect_language(audio)
        result = self._model.transcribe(audio, language=language, fp16=self._device != "cpu")
        segments = tuple(
            Segment(
                float(piece["start"]),
                float(piece["end"]),
                float(piece["avg_logprob"]),
                float(piece["no_speech_prob"]),
            )
            for piece in result["segments"]
        )
        return Transcribed(result["text"], language, probability, segments)

    def _detect_language(self, audio: NDArray[np.float32]) -> tuple[str, float | None]:
        """Return the language of the first 30 s and its probability; None for an English-only model."""
        import whisper
        from whisper.audio import N_FRAMES, N_SAMPLES

        model = self._model
        if not model.is_multilingual:
            return "en", None
        mel = whisper.log_mel_spectrogram(audio, model.dims.n_mels, padding=N_SAMPLES)
        window = whisper.pad_or_trim(mel, N_FRAMES).to(model.device)
        _, probabilities = model.detect_language(window.float() if self._device == "cpu" else window.half())
        language = max(probabilities, key=probabilities.__getitem__)
        return language, probabilities[language]


def read(path: Path) -> NDArray[np.float32]:
    """Read a file as mono float32 at 16 kHz, range −1 to 1. Raise BadAudio."""
    import soundfile
    import soxr

    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > LONGEST_S * file.samplerate:
                raise BadAudio(f"The sample is too long to transcribe; the limit is {LONGEST_S:g} seconds.")
            samples = file.read(dtype="float32", always_2d=True)
            rate = file.samplerate
    except (soundfile.SoundFileError, OSError) as error:
        raise BadAudio("The sample could not be read.") from error
    mono = soxr.resample(samples.mean(axis=1), rate, 16_000) if len(samples) else samples
    if not len(mono) or not np.isfinite(mono).all():
        raise BadAudio("The sample has no sound.")
    return np.asarray(mono, dtype=np.float32)


def load(name: str, device: str) -> Whisper:
    """Load Whisper by size, downloading its weights if necessary, or from a checkpoint's path.

    Raise Unavailable, which says what to do.
    """
    if os.sep in name and not Path(name).is_file():
        raise Unavailable("--whisper-model (DIA_WHISPER_MODEL) names a file that does not exist.")
    try:
        import torch
        import whisper
    except ImportError as error:
        raise Unavailable(
            f'Transcription needs {error.name}: pip install "streaming-server[whisper]".'
        ) from error
    torch.set_num_threads(1)
    socket.setdefaulttimeout(STALLED_S)
    sizes = whisper.available_models()
    if name not in sizes and not Path(name).is_file():
        raise Unavailable(
            "--whisper-model (DIA_WHISPER_MODEL) must be an existing file or a size of Whisper"
            f" ({', '.join(sizes)})."
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("Whisper is set to run on a GPU, but PyTorch finds none.")
    try:
        return whisper.load_model(name, device)
    except torch.AcceleratorError as error:
        raise Unavailable("The GPU failed while Whisper was being loaded.") from error
    except torch.OutOfMemoryError as error:
        raise Unavailable(
            "There is not enough memory for Whisper; set a smaller --whisper-model (DIA_WHISPER_MODEL)."
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise Unavailable(
            f"Whisper's weights ({name}) could not be downloaded. Download them elsewhere and name the file:"
            " --whisper-model /path/to/base.pt (DIA_WHISPER_MODEL)."
        ) from error
    except OSError as error:
        raise Unavailable(f"Whisper's weights could not be read or stored: {error.strerror}.") from error
    except Exception as error:  # The checkpoint may be any file, so unpickling may raise anything.
        what = f"Whisper's weights ({name})"
        if name not in sizes:
            what = "The file that --whisper-model (DIA_WHISPER_MODEL) names"
        raise Unavailable(f"{what} could not be loaded: it is not a complete Whisper checkpoint.") from error


def serve(link: socket.socket, transcriber: Transcriber) -> None:
    """Answer requests until the server closes the socket. Any error but BadAudio is raised."""
    frames = FrameReader()
    while data := link.recv(65536):
        for frame in frames.feed(data):
            path = Path(os.fsdecode(decode_request(frame).path))
            link.sendall(encode(_answer(transcriber, path)))


def _answer(transcriber: Transcriber, path: Path) -> Answer:
    try:
        return transcriber.transcribe(path)
    except BadAudio as error:
        return Refused(error.message)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line that the server builds."""
    parser = argparse.ArgumentParser(
        prog="streaming_server.transcription.worker", description="Transcribes voice samples."
    )
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket to the server")
    parser.add_argument("--parent", type=int, required=True, help="the server's process id")
    parser.add_argument("--model", required=True, help="a size of Whisper, or the path of a checkpoint")
    parser.add_argument("--device", required=True, choices=["cpu", "cuda"])
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    ignore_signals()
    end_with_parent(options.parent)
    link = socket.socket(fileno=options.fd)
    try:
        transcriber = Transcriber(load(options.model, options.device), options.device)
        link.sendall(encode(TranscriberReady()))
        serve(link, transcriber)
    except (BrokenPipeError, ConnectionResetError):
        return 0
    except SpeechError as error:
        link.sendall(encode(TranscriberFailed(error.message)))
        return 1
    except Exception as error:
        # After a CUDA error nothing in this process can be relied on, so every error ends it.
        link.sendall(encode(TranscriberFailed(f"Whisper failed ({type(error).__name__}).")))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
