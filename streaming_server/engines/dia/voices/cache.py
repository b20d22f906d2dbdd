"""The voices that are cloned, made ready in the background and kept."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import torch
from torch import Tensor

from streaming_server.engines.dia.serving.context import VoicePrompt
from streaming_server.engines.dia.voices.encoder import PromptEncoder
from streaming_server.engines.dia.voices.recording import read_recording, script_of
from streaming_server.errors import EngineFailure, SpeechError
from streaming_server.types import Speaker, VoiceSample

_LOG = logging.getLogger(__name__)

MOST_PROMPTS = 256
"""Prompts kept; one of 10 s takes 62 kB."""

MOST_EXPECTED = 16
"""Prompts that may be asked for ahead and not be ready; beyond, they are encoded when they are needed."""

_NICE = 10
"""How far the encoder's threads stand back for those that speak."""

_Key = tuple[str, str]
"""A recording's path, and its transcript with tags."""


class PromptShelf:
    """Recordings in, voice prompts out, one after another on a thread of its own.

    make_encoder: called on that thread when the first prompt is asked for. A prompt that cannot be made is
    not remembered, so it is tried anew when it is asked for again.
    """

    def __init__(self, make_encoder: Callable[[], PromptEncoder]) -> None:
        self._make_encoder = make_encoder
        self._encoder: PromptEncoder | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._kept: dict[_Key, Future[VoicePrompt]] = {}
        self._wanted: deque[tuple[_Key, Future[VoicePrompt]]] = deque()
        self._expected: dict[_Key, Future[VoicePrompt]] = {}

    def want(self, prompt: VoiceSample, speaker: Speaker) -> Future[VoicePrompt]:
        """A prompt that is needed now. It fails with a SpeechError."""
        key = (prompt.path, script_of(prompt, speaker))
        with self._changed:
            known = self._kept.pop(key, None)
            result = known or Future()
            self._keep(key, result)
            if known is None or self._expected.pop(key, None) is not None:
                self._wanted.append((key, result))
                self._wake()
            return result

    def expect(self, prompt: VoiceSample, speaker: Speaker) -> None:
        """A prompt that will be needed soon. It is made when none is needed now."""
        key = (prompt.path, script_of(prompt, speaker))
        with self._changed:
            if key in self._kept or len(self._expected) >= MOST_EXPECTED:
                return
            self._expected[key] = result = Future[VoicePrompt]()
            self._keep(key, result)
            self._wake()

    def relieve(self) -> None:
        """Let go of the encoder until it is needed again."""
        with self._changed:
            self._encoder = None

    def close(self) -> None:
        """Takes as long as a second of sound takes to encode. What is not ready is cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        for result in [*self._kept.values(), *(result for _, result in self._wanted)]:
            result.cancel()
        self._kept.clear()
        self._wanted.clear()
        self._expected.clear()
        self._encoder = None

    def _keep(self, key: _Key, result: Future[VoicePrompt]) -> None:
        self._kept[key] = result
        while len(self._kept) > MOST_PROMPTS:
            del self._kept[next(iter(self._kept))]

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="prompts", daemon=True)
            self._thread.start()
        self._changed.notify()

    # On the thread

    def _work(self) -> None:
        _stand_back()
        while (order := self._next()) is not None:
            key, result = order
            try:
                voice = self._make(*key)
            except SpeechError as error:
                self._fail(key, result, error)
            except Exception:
                _LOG.exception("a voice's recording cannot be encoded")
                failure = EngineFailure("the recording that this voice is cloned from cannot be encoded")
                self._fail(key, result, failure)
            else:
                if voice is not None:
                    result.set_result(voice)

    def _next(self) -> tuple[_Key, Future[VoicePrompt]] | None:
        """The next prompt to make; None when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._wanted or self._expected)
            if self._closed:
                return None
            if self._wanted:
                return self._wanted.popleft()
            key = next(iter(self._expected))
            return key, self._expected.pop(key)

    def _make(self, path: str, script: str) -> VoicePrompt | None:
        """None where the shelf is closed meanwhile."""
        encoder = self._loaded()
        config = encoder.config
        recording = read_recording(path, script, config.sample_rate, config.hop)
        windows: list[Tensor] = []
        for codes in encoder.encode(recording.samples):
            windows.append(codes)
            if self._closed:
                return None
        return VoicePrompt(recording.script, torch.cat(windows))

    def _loaded(self) -> PromptEncoder:
        encoder = self._encoder
        if encoder is None:
            encoder = self._make_encoder()
            with self._changed:
                self._encoder = encoder
        return encoder

    def _fail(self, key: _Key, result: Future[VoicePrompt], error: SpeechError) -> None:
        with self._changed:
            if self._kept.get(key) is result:
                del self._kept[key]
        result.set_exception(error)


def _stand_back() -> None:
    """Give way to the threads that speak, where a thread can be told so."""
    if sys.platform == "linux":
        # A Linux thread has a niceness of its own, which the threads that compute for it inherit.
        thread = threading.get_native_id()
        try:
            now = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, max(now, _NICE))
        except OSError as error:
            _LOG.info("prompts are encoded at the priority of speech (%s)", error)
