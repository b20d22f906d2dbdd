"""Utterances that wait for a slot: for their voice's prompt to be encoded, and for memory."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, wait

from streaming_server.engines.dia.serving.runner import Runner
from streaming_server.engines.dia.serving.schedule import Schedule
from streaming_server.engines.dia.serving.segments import Segments
from streaming_server.engines.dia.serving.stream import Stream
from streaming_server.engines.dia.serving.streams import Streams
from streaming_server.engines.dia.text.script import encode_script
from streaming_server.engines.dia.voices.prompt import FRAMES_PER_S
from streaming_server.errors import BadValue, SpeechError
from streaming_server.types import Failed

MIN_TEXT_BYTES = 256
"""Bytes of new text that must fit beside a voice's transcript; a longer transcript is rejected."""

MIN_SPEECH_FRAMES = round(FRAMES_PER_S)
"""Frames that must fit after a voice's sample, a second; a longer sample is rejected."""

IDLE_S = 0.01
"""Seconds that a step with nothing to do waits; less than a frame."""


class Admission:
    """Gives waiting utterances a slot and memory, most urgent first.

    max_active: streams that may have a slot at once.
    """

    def __init__(
        self, runner: Runner, streams: Streams, schedule: Schedule, segments: Segments, max_active: int
    ) -> None:
        self._runner = runner
        self._streams = streams
        self._schedule = schedule
        self._segments = segments
        self._max_active = max_active
        self._last_delay = runner.slots.model.config.last_delay
        self.waiting: list[Stream] = []

    def add(self, stream: Stream) -> None:
        self.waiting.append(stream)

    def cancel(self, utterance_id: int) -> None:
        self.waiting = [stream for stream in self.waiting if stream.utterance.id != utterance_id]

    def wait_briefly(self) -> None:
        """Wait until a voice prompt is ready, but no longer than `IDLE_S`."""
        wanted = [stream.pending_prompt for stream in self.waiting if stream.pending_prompt is not None]
        if wanted:
            wait(wanted, IDLE_S, FIRST_COMPLETED)
        else:
            time.sleep(IDLE_S)

    def collect_voice_prompts(self) -> list[Failed]:
        """Use prompts that are ready; return failures."""
        failures = []
        for stream in [s for s in self.waiting if s.pending_prompt is not None and s.pending_prompt.done()]:
            try:
                self._use_voice_prompt(stream)
            except SpeechError as error:
                self.waiting.remove(stream)
                failures.append(Failed(stream.utterance.id, error.code, error.message, error.retryable))
        return failures

    def _use_voice_prompt(self, stream: Stream) -> None:
        """Raises SpeechError if the prompt could not be encoded or leaves no room for text or speech."""
        assert stream.pending_prompt is not None
        prompt = stream.pending_prompt.result()
        if len(encode_script(prompt.transcript)) + MIN_TEXT_BYTES > self._runner.slots.text:
            raise BadValue("The voice sample's transcript is too long; shorten it.")
        # BOS, the delayed tail and the end of audio take rows, too.
        rows = prompt.frames + MIN_SPEECH_FRAMES + self._last_delay + 2
        if rows > self._runner.slots.frames:
            raise BadValue("The voice sample is too long for this model; upload a shorter one.")
        stream.context.use_prompt(prompt)
        stream.pending_prompt = None

    def admit(self, busy_s: float) -> None:
        """Give slots and memory to streams that are ready, the most urgent first.

        One that there is no memory for keeps the others waiting, or those that need less would overtake it
        for ever.
        """
        for stream in list(self._streams.unadmitted.values()):
            if not self.begin(stream):
                return
        if len(self._streams) >= self._max_active:
            return
        ready = [stream for stream in self.waiting if stream.pending_prompt is None]
        if not ready:
            return
        free = sorted(set(range(self._max_active)) - set(self._streams.by_slot))
        for stream, slot in zip(sorted(ready, key=self._schedule.underrun_at), free, strict=False):
            stream.slot, stream.busy_from = slot, busy_s
            if stream.segment is None:
                self._segments.plan_next(stream)
            if not self.begin(stream):
                stream.slot = -1
                return
            self.waiting.remove(stream)

    def begin(self, stream: Stream) -> bool:
        """Begin the planned segment of a stream with a slot; return False if it has to wait for memory."""
        rows = self._segments.expected_rows(stream)
        if not self._runner.admit(stream.slot, len(stream.ids), rows):
            return False
        self._streams.unadmitted.pop(stream.slot, None)
        granted = self._runner.grow(stream.slot, min(stream.first, rows))
        assert granted
        assert stream.beginning is not None
        self._schedule.set_running(stream, False)
        stream.offset = stream.first - 1
        stream.due = stream.row_completing(self._last_delay)
        stream.prefill = self._runner.prefill(stream.slot, stream.beginning)
        self._streams.begin_segment(stream)
        return True

    def begin_next(self, stream: Stream) -> bool:
        """Begin the next segment of a stream, at once or when there is memory; False if nothing is left."""
        if not self._segments.plan_next(stream):
            return False
        self._schedule.set_running(stream, False)
        self._streams.ending.pop(stream.slot, None)
        self._streams.due.pop(stream.slot, None)
        self._streams.patient.pop(stream.slot, None)
        self._streams.release_memory(stream)
        if not self.begin(stream):
            self._streams.unadmitted[stream.slot] = stream
        return True
