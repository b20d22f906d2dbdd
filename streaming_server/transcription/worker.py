"""The transcriber: one child process that holds Whisper and listens to one sample at a time.

The server starts `python -m streaming_server.transcription.worker --fd N …`. Messages are lines of JSON in
both directions over that socket; the process ends when the socket closes.

    {"transcribe": path}     →  {"transcript": {"text", "language", "language_probability",
                                              "segments": [fields of transcript.Segment]}}
                             or {"refused": {"code", "message"}}, and it goes on
    (started)                →  {"ready": {"device"}}
                             or {"failed": {"code", "message"}}, and it ends
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import sys
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streaming_server.errors import BadAudio, SpeechError, Unavailable
from streaming_server.ipc.priority import give_way

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from whisper import Whisper

LONGEST_S = 120.0
STALLED_S = 20.0
"""A download of which nothing has come for this long has failed."""

_PR_SET_PDEATHSIG = 1


class Transcriber:
    """A loaded model. device: "cpu" or "cuda"."""

    def __init__(self, model: Whisper, device: str) -> None:
        self._model = model
        self._device = device

    def transcribe(self, path: Path) -> dict[str, Any]:
        """What is said in a file, as the message tells it. Raises BadAudio."""
        import torch

        audio = read(path)
        torch.manual_seed(0)  # Whisper draws lots when it is unsure; the same sample gives the same text.
        language, probability = self._detect_language(audio)
        result = self._model.transcribe(audio, language=language, fp16=self._device != "cpu")
        return {
            "text": result["text"],
            "language": language,
            "language_probability": probability,
            "segments": [
                (piece["start"], piece["end"], piece["avg_logprob"], piece["no_speech_prob"])
                for piece in result["segments"]
            ],
        }

    def _detect_language(self, audio: NDArray[np.float32]) -> tuple[str, float | None]:
        """The language of the first 30 s and its probability; a model for English only is not asked."""
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
    """A file that soundfile can read, as mono float32 at 16 kHz. Raises BadAudio."""
    import soundfile
    import soxr

    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > LONGEST_S * file.samplerate:
                raise BadAudio(f"A sample to transcribe may take {LONGEST_S:g} seconds, not more.")
            samples = file.read(dtype="float32", always_2d=True)
            rate = file.samplerate
    except (soundfile.SoundFileError, OSError) as error:
        raise BadAudio("The sample could not be read.") from error
    mono = soxr.resample(samples.mean(axis=1), rate, 16_000) if len(samples) else samples
    if not len(mono) or not np.isfinite(mono).all():
        raise BadAudio("There is no sound in the sample.")
    return np.asarray(mono, dtype=np.float32)


def load(name: str, device: str, download_root: Path | None) -> Whisper:
    """Whisper by the name of its size or the path of a checkpoint, downloaded if need be.

    Raises Unavailable, which says what to do.
    """
    if os.sep in name and not Path(name).is_file():
        raise Unavailable("DIA_WHISPER_MODEL names a file that is not there.")
    try:
        import torch
        import whisper
    except ImportError as error:
        raise Unavailable(f"Transcription needs {error.name}: pip install '.[whisper]'.") from error
    torch.set_num_threads(1)
    socket.setdefaulttimeout(STALLED_S)
    sizes = whisper.available_models()
    if name not in sizes and not Path(name).is_file():
        raise Unavailable(
            "DIA_WHISPER_MODEL names neither a file that is there nor a size of Whisper"
            f" ({', '.join(sizes)})."
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("Whisper was to run on a GPU, but PyTorch sees none.")
    try:
        return whisper.load_model(name, device, str(download_root) if download_root else None)
    except torch.AcceleratorError as error:
        raise Unavailable("The GPU failed while Whisper was being loaded.") from error
    except torch.OutOfMemoryError as error:
        raise Unavailable(
            "There is not enough memory for Whisper: set a smaller DIA_WHISPER_MODEL."
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise Unavailable(
            f"Whisper's weights ({name}) could not be downloaded. Download them elsewhere and name the file:"
            " DIA_WHISPER_MODEL=/path/to/base.pt."
        ) from error
    except OSError as error:
        raise Unavailable(f"Whisper's weights could not be read or stored: {error.strerror}.") from error
    except Exception as error:  # The checkpoint may be anything; so may be what unpickling it raises.
        what = f"Whisper's weights ({name})" if name in sizes else "The file that DIA_WHISPER_MODEL names"
        raise Unavailable(f"{what} could not be loaded: not a whole Whisper checkpoint.") from error


def serve(link: socket.socket, transcriber: Transcriber) -> None:
    """Answer until the server is gone. An error that is not the sample's ends the process."""
    with link.makefile("rb") as requests:
        for line in requests:
            try:
                answer = {"transcript": transcriber.transcribe(Path(json.loads(line)["transcribe"]))}
            except BadAudio as error:
                answer = {"refused": {"code": error.code, "message": error.message}}
            _say(link, answer)


def _say(link: socket.socket, message: dict[str, Any]) -> None:
    link.sendall(json.dumps(message).encode() + b"\n")


def parse(arguments: list[str]) -> argparse.Namespace:
    """What the server asks of this child."""
    parser = argparse.ArgumentParser(
        prog="streaming_server.transcription.worker", description="Listens to samples."
    )
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket to the server")
    parser.add_argument("--parent", type=int, required=True, help="the server's process id")
    parser.add_argument("--model", required=True, help="a size of Whisper, or the path of a checkpoint")
    parser.add_argument("--device", required=True, choices=["cpu", "cuda"])
    parser.add_argument("--download-root", type=Path, help="where downloaded weights are kept")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    _outlive_signals_but_not_the_parent(options.parent)
    give_way()
    link = socket.socket(fileno=options.fd)
    try:
        transcriber = Transcriber(load(options.model, options.device, options.download_root), options.device)
        _say(link, {"ready": {"device": options.device}})
        serve(link, transcriber)
    except (BrokenPipeError, ConnectionResetError):
        return 0
    except SpeechError as error:
        _say(link, {"failed": {"code": error.code, "message": error.message}})
        return 1
    except Exception as error:
        # After a fault of CUDA nothing in this process can be relied on, so every fault ends it.
        reason = f"Whisper failed ({type(error).__name__})."
        _say(link, {"failed": {"code": Unavailable.code, "message": reason}})
        return 1
    return 0


def _outlive_signals_but_not_the_parent(parent: int) -> None:
    """Ctrl+C and SIGTERM reach the whole process group; the server decides when this process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
