"""Prompts of cloned voices, encoded in the background and cached."""

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

from streaming_server.engines.dia.voices.encoder import PromptEncoder
from streaming_server.engines.dia.voices.prompt import VoicePrompt
from streaming_server.engines.dia.voices.recording import normalized_transcript, read_recording
from streaming_server.errors import EngineFailure, SpeechError
from streaming_server.types import Speaker, VoiceSample

log = logging.getLogger(__name__)

MAX_PROMPTS = 256
"""Prompts cached; one of 10 s takes 62 kB."""

MAX_PREFETCHED = 16
"""Prefetched prompts that may be pending; beyond, prompts are encoded on demand."""

_NICE = 10
"""Niceness of the encoder thread relative to the threads that generate speech."""

_Key = tuple[str, str]
"""A sample's path, and its transcript with tags."""


class VoicePromptCache:
    """Encode voice samples into prompts, one at a time, on a thread of its own.

    make_encoder: called on that thread when the first prompt is requested. A failure is not cached: the
    prompt is tried again at the next request.
    """

    def __init__(self, make_encoder: Callable[[], PromptEncoder]) -> None:
        self._make_encoder = make_encoder
        self._encoder: PromptEncoder | None = None
        self._thread: threading.Thread | None = None
        self.closed = False
        self._changed = threading.Condition()
        self._kept: dict[_Key, Future[VoicePrompt]] = {}
        self._requested: deque[tuple[_Key, Future[VoicePrompt]]] = deque()
        self._prefetched: dict[_Key, Future[VoicePrompt]] = {}

    def get(self, sample: VoiceSample, speaker: Speaker) -> Future[VoicePrompt]:
        """Request a prompt that is needed now. The future fails with a SpeechError."""
        key = (sample.path, normalized_transcript(sample, speaker))
        with self._changed:
            known = self._kept.pop(key, None)
            result = known or Future()
            self._keep(key, result)
            if known is None or self._prefetched.pop(key, None) is not None:
                self._requested.append((key, result))
                self._start_or_notify()
            return result

    def prefetch(self, sample: VoiceSample, speaker: Speaker) -> None:
        """Request a prompt that will be needed soon. It is encoded when no other is needed now."""
        key = (sample.path, normalized_transcript(sample, speaker))
        with self._changed:
            if key in self._kept or len(self._prefetched) >= MAX_PREFETCHED:
                return
            self._prefetched[key] = result = Future[VoicePrompt]()
            self._keep(key, result)
            self._start_or_notify()

    def relieve(self) -> None:
        """Free the encoder until it is needed again."""
        with self._changed:
            self._encoder = None

    def close(self) -> None:
        """Stop the thread and cancel pending prompts. Blocks while a second of audio is being encoded."""
        with self._changed:
            self.closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        for result in [*self._kept.values(), *(result for _, result in self._requested)]:
            result.cancel()
        self._kept.clear()
        self._requested.clear()
        self._prefetched.clear()
        self._encoder = None

    def _keep(self, key: _Key, result: Future[VoicePrompt]) -> None:
        self._kept[key] = result
        while len(self._kept) > MAX_PROMPTS:
            del self._kept[next(iter(self._kept))]

    def _start_or_notify(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="voice encoder", daemon=True)
            self._thread.start()
        self._changed.notify()

    # On the encoder thread

    def _work(self) -> None:
        _lower_priority()
        while (job := self._next()) is not None:
            key, result = job
            try:
                voice = self._make(*key)
            except SpeechError as error:
                self._fail(key, result, error)
            except Exception:
                log.exception("a voice sample cannot be encoded")
                failure = EngineFailure("The voice sample cannot be encoded.")
                self._fail(key, result, failure)
            else:
                if voice is not None:
                    result.set_result(voice)

    def _next(self) -> tuple[_Key, Future[VoicePrompt]] | None:
        """Return the next prompt to encode; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._requested or self._prefetched)
            if self.closed:
                return None
            if self._requested:
                return self._requested.popleft()
            key = next(iter(self._prefetched))
            return key, self._prefetched.pop(key)

    def _make(self, path: str, script: str) -> VoicePrompt | None:
        """Encode a prompt; return None if the cache is closed meanwhile."""
        encoder = self._loaded()
        config = encoder.config
        recording = read_recording(path, script, config.sample_rate, config.hop)
        windows: list[Tensor] = []
        for codes in encoder.encode(recording.samples):
            windows.append(codes)
            if self.closed:
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


def _lower_priority() -> None:
    """Lower this thread's priority below that of speech, where threads have their own."""
    if sys.platform == "linux":
        # A Linux thread has its own niceness, which its compute threads inherit.
        thread = threading.get_native_id()
        try:
            now = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, max(now, _NICE))
        except OSError as error:
            log.info("cannot lower the priority of the voice encoder: %s", error)
