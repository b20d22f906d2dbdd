"""The engine generates many utterances at once, each as if it were alone."""

from __future__ import annotations

import gc
import random
import time
from dataclasses import replace

import pytest
from helpers.spoken import drain, pcm

torch = pytest.importorskip("torch")

from helpers.checkpoints import codec_document, write_checkpoint  # noqa: E402

from streaming_server.engines.dia.model.codec import codec_lag  # noqa: E402
from streaming_server.engines.dia.model.config import TINY_CODEC, TINY_DIA  # noqa: E402
from streaming_server.engines.dia.serving.engine import DiaEngine  # noqa: E402
from streaming_server.engines.dia.serving.load import create_engine  # noqa: E402
from streaming_server.engines.dia.serving.prefill_queue import IDLE_PREFILL_S, MIN_PREFILL_S  # noqa: E402
from streaming_server.engines.dia.voices.prompt import MAX_PROMPT_BYTES  # noqa: E402
from streaming_server.engines.dia.weights.hub import locate  # noqa: E402
from streaming_server.engines.dia.weights.loader import read_codec  # noqa: E402
from streaming_server.errors import EngineFailure  # noqa: E402
from streaming_server.types import (  # noqa: E402
    DEFAULT_VOICE,
    Audio,
    Failed,
    Finished,
    Generation,
    MemoryReport,
    Utterance,
    Words,
)

TEXT = "Hello there, this is a sentence that is spoken."
HOP = TINY_CODEC.hop
TAIL_ROWS = TINY_DIA.last_delay + 2
"""Rows of a reading that are no frames: BOS, end of audio and the delays."""


@pytest.fixture
def engine():
    made = create_engine("random:tiny", device="cpu", slots=4)
    yield made
    made.close()


@pytest.fixture
def said(caplog):
    """An utterance with what it says of itself taken from its number."""

    def make(number, text=TEXT, context=None, deadline=None, **generation):
        generation = {"max_tokens": 120, "seed": number, **generation}
        when = time.monotonic() if deadline is None else deadline
        return Utterance(
            number,
            number if context is None else context,
            text,
            DEFAULT_VOICE,
            Generation(**generation),
            when,
        )

    return make


def alone_pcm(engine, utterance):
    """Return the audio of an utterance alone in the engine and first in its context."""
    whole = pcm(drain(engine, [utterance]), utterance.id)
    engine.release(utterance.context)
    return whole


def of(events, number):
    return [event for event in events if event.utterance == number]


def test_info(engine):
    info = engine.info
    assert (info.name, info.sample_rate, info.slots) == ("dia", 44100, 4)
    assert info.uses == {
        "seed",
        "temperature",
        "cfg_scale",
        "cfg_filter_top_k",
        "top_p",
        "top_k",
        "max_tokens",
        "preset",
    }


def test_utterance_yields_audio_words_and_finished(engine, said):
    events = drain(engine, [said(1)])
    assert isinstance(events[-1], Finished)
    assert events[-1].busy_s > 0
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert len(pcm(events, 1)) == 2 * HOP * (120 - TAIL_ROWS)
    assert engine.active == 0


def test_first_audio_comes_with_step_25_and_chunks_grow(engine, said):
    engine.submit(said(1))
    sizes = [
        sum(len(event.pcm) // 2 for event in engine.step() if isinstance(event, Audio)) for _ in range(80)
    ]
    arrivals = [(step, size) for step, size in enumerate(sizes, start=1) if size]
    assert arrivals[0] == (25, 10 * HOP - codec_lag(TINY_CODEC))
    later = [(29, 4), (33, 4), (37, 4), (45, 8), (53, 8), (61, 8)]
    assert arrivals[1:7] == [(step, frames * HOP) for step, frames in later]
    assert arrivals[7] == (77, 16 * HOP)


@pytest.mark.filterwarnings("ignore")
def test_greedy_audio_equals_transformers(tmp_path, tiny_tensors, tiny_reference, said):
    transformers = pytest.importorskip("transformers")
    write_checkpoint(tmp_path / "dia", TINY_DIA.document(), tiny_tensors)
    weights = read_codec(locate("random:tiny", "DIA_CODEC"), TINY_CODEC, torch.device("cpu"), torch.float32)
    document = {key: value for key, value in codec_document(TINY_CODEC).items() if key != "architectures"}
    dac = transformers.DacModel(transformers.DacConfig(**document))
    dac.load_state_dict(weights, strict=False)
    dac.save_pretrained(tmp_path / "dac")
    engine = create_engine(
        str(tmp_path / "dia"), str(tmp_path / "dac"), device="cpu", dtype="float64", slots=2
    )
    ours = torch.frombuffer(
        bytearray(pcm(drain(engine, [said(1, "Hello.", temperature=0.0)]), 1)), dtype=torch.int16
    )
    engine.close()

    text = torch.tensor([list(b"\x01 Hello. \x02")])
    rows = torch.full((1, 16, 9), TINY_DIA.pad)
    for channel, delay in enumerate(TINY_DIA.delays):
        rows[0, : delay + 1, channel] = TINY_DIA.bos
    spoken = tiny_reference(torch.float64).generate(
        input_ids=text,
        attention_mask=torch.ones_like(text),
        decoder_input_ids=rows,
        decoder_attention_mask=torch.ones(1, 16, dtype=torch.int64),
        do_sample=False,
        temperature=1.0,
        top_k=45,
        guidance_scale=3.0,
        max_new_tokens=119,
    )[0]
    frames = int((spoken[:, 0] < TINY_DIA.eos).sum())
    codes = torch.stack([spoken[1 + d : 1 + d + frames, c] for c, d in enumerate(TINY_DIA.delays)])
    with torch.inference_mode():
        theirs = dac.double().decode(audio_codes=codes[None]).audio_values[0]
    assert ours.shape == theirs.shape
    assert int((ours - (theirs * 32767).round()).abs().max()) <= 1


def test_audio_is_independent_of_other_streams(engine, said):
    alone = {number: alone_pcm(engine, said(number, max_tokens=100 + 7 * number)) for number in range(1, 8)}
    assert len(set(alone.values())) == 7
    together = drain(engine, [said(number, max_tokens=100 + 7 * number) for number in range(1, 8)])
    assert {number: pcm(together, number) for number in alone} == alone


@pytest.mark.slow
def test_random_arrivals_and_cancellations_leave_others_untouched(engine, said):
    def one(number):
        return said(number, max_tokens=100 + number % 9, text=TEXT[: 8 + number % 30])

    alone = {number: alone_pcm(engine, one(number)) for number in range(1, 25)}
    dice = random.Random(3)
    numbers, cancelled, events, cancelled_at = list(alone), set(), [], {}
    while numbers or engine.active:
        while numbers and dice.random() < 0.3:
            engine.submit(one(numbers.pop()))
        if dice.random() < 0.08:
            victim = dice.randrange(1, 25)
            if victim not in numbers:
                engine.cancel(victim)
                engine.cancel(victim)
                finished = any(isinstance(event, Finished) for event in of(events, victim))
                if not finished:
                    cancelled.add(victim)
                    cancelled_at[victim] = len(events)
        events.extend(engine.step())
    assert cancelled
    for number, whole in alone.items():
        if number in cancelled:
            assert not of(events[cancelled_at[number] :], number)
            assert whole.startswith(pcm(events, number))
        else:
            assert pcm(events, number) == whole
            assert isinstance(of(events, number)[-1], Finished)


def test_cancel_frees_the_slot(engine, said):
    for number in range(1, 6):
        engine.submit(said(number))
    for _ in range(6):
        engine.step()
    assert engine.active == 5
    engine.cancel(2)
    assert engine.active == 4
    engine.step()
    assert {stream.utterance.id for stream in engine.streams.by_slot.values()} == {1, 3, 4, 5}


def test_most_urgent_waiting_stream_comes_first(engine, said):
    now = time.monotonic()
    for number in range(1, 5):
        engine.submit(said(number, deadline=now))
    engine.step()
    engine.submit(said(8, deadline=now + 60))
    engine.submit(said(9, deadline=now))
    events = []
    while engine.active:
        events.extend(engine.step())
    order = [event.utterance for event in events if isinstance(event, Finished)]
    assert order.index(9) < order.index(8)


def test_stream_far_ahead_yields_to_one_about_to_underrun(engine, said):
    now = time.monotonic()
    engine.submit(said(1, deadline=now + 3600, max_tokens=300))
    for _ in range(40):
        engine.step()
    engine.submit(said(2, deadline=now, max_tokens=100))
    events = []
    while not any(isinstance(event, Audio) and event.utterance == 2 for event in events):
        events.extend(engine.step())
    assert not of(events, 1)
    while engine.active:
        events.extend(engine.step())
    assert {event.utterance for event in events if isinstance(event, Finished)} == {1, 2}


def test_word_marks_ascend_and_come_before_the_audio_they_describe(engine, said):
    text = "One two three, four five six seven eight."
    events = drain(engine, [said(1, text, max_tokens=300)])
    samples, marks = 0, []
    for event in events:
        if isinstance(event, Words):
            assert all(mark.start_sample >= samples for mark in event.marks)
            marks.extend(event.marks)
        elif isinstance(event, Audio):
            samples += len(event.pcm) // 2
            assert all(mark.start_sample < samples for mark in marks)
    assert [text[mark.start : mark.end] for mark in marks] == text.split()
    assert all(mark.end_sample <= samples and mark.estimated for mark in marks)


def test_next_utterance_of_a_context_keeps_its_voice(engine, said):
    first = [said(1, context=7, max_tokens=300, seed=5)]
    drain(engine, first)
    prompt = engine.contexts[7].prompt
    assert prompt.transcript == f"[S1] {TEXT}"
    assert prompt.frames == 300 - TAIL_ROWS
    continued = drain(engine, [said(2, "Second.", context=7, seed=5)])
    # The client's limit is on what it hears; the turn's own prompt comes on top.
    assert len(pcm(continued, 2)) == 2 * HOP * (120 - TAIL_ROWS)
    apart = drain(engine, [said(3, "Second.", context=8, seed=5)])
    assert pcm(continued, 2) != pcm(apart, 3)
    engine.release(7)
    assert 7 not in engine.contexts


def test_seed_makes_a_context_repeatable(engine, said):
    def turn(context):
        heard = b""
        for number in range(3):
            events = drain(
                engine, [said(context * 10 + number, f"Sentence {number}.", context=context, seed=99)]
            )
            heard += pcm(events, context * 10 + number)
        return heard

    assert turn(1) == turn(2)


def test_contexts_differ_without_a_seed(engine, said):
    events = drain(engine, [said(1, seed=None), said(2, seed=None)])
    assert pcm(events, 1) != pcm(events, 2)


def test_long_text_is_generated_in_segments_with_continuous_marks(engine, said):
    text = " ".join(f"Sentence number {number}." for number in range(80))
    assert len(text) > 1024
    events = drain(engine, [said(1, text, max_tokens=100)])
    marks = [mark for event in events if isinstance(event, Words) for mark in event.marks]
    assert [text[mark.start : mark.end] for mark in marks] == text.split()
    starts = [mark.start_sample for mark in marks]
    assert starts == sorted(starts)
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert len(pcm(events, 1)) > 2 * 2 * HOP * (100 - TAIL_ROWS) - 1


@pytest.mark.parametrize("text", ["", "  ", "[S1] [S2]", "...", "[S1] ... [S2] ?!", "(…)", "👍", "€ %"])
def test_text_without_words_is_finished_at_once(engine, said, text):
    (event,) = drain(engine, [said(1, text)])
    assert event == Finished(1, 0.0)


@pytest.fixture
def toil(engine, monkeypatch):
    """Every piece of a newcomer's preparation takes as long as is said; how many there were."""
    done = []

    def slowly(seconds):
        encode = engine.runner.slots.model.encode

        def slow(ids):
            for piece in encode(ids):
                time.sleep(seconds)
                done.append(piece)
                yield piece

        monkeypatch.setattr(engine.runner.slots.model, "encode", slow)
        return done

    return slowly


def test_prefill_is_interleaved_with_steps(engine, said, toil):
    engine.submit(said(1, max_tokens=400))
    for _ in range(30):
        engine.step()
    started = time.perf_counter()
    engine.step()
    done = toil(2 * MIN_PREFILL_S + time.perf_counter() - started)
    rows = engine.streams.by_slot[0].row
    engine.submit(said(2, text="Long. " * 150))
    for step in range(1, TINY_DIA.encoder.layers + 1):
        engine.step()
        assert engine.streams.by_slot[0].row == rows + step
        assert len(done) == step
        assert engine.streams.by_slot[1].prefill is not None


def test_step_is_brief_with_a_single_stream(engine, said, toil):
    """The server takes an engine for dead that is silent for seconds."""
    done = toil(IDLE_PREFILL_S)
    engine.submit(said(1))
    for step in range(1, TINY_DIA.encoder.layers + 1):
        engine.step()
        assert len(done) == step


def test_newcomer_is_prefilled_at_full_speed_while_the_others_are_paused(said, monkeypatch):
    engine = create_engine("random:tiny", device="cpu", slots=2, paced=True)
    engine.submit(replace(said(1, max_tokens=400), window=40_000))
    while engine.active:
        engine.step()
    budgets = []
    time_budget = engine.runner.time_budget
    monkeypatch.setattr(
        engine.runner, "time_budget", lambda seconds: budgets.append(seconds) or time_budget(seconds)
    )
    engine.submit(said(2))
    while not engine.schedule.running:
        engine.step()
    assert set(budgets) == {IDLE_PREFILL_S}
    engine.close()


def test_engine_is_inactive_while_all_streams_are_paused(said):
    """Not even for one that has no slot yet, or the engine would be driven in vain."""
    engine = create_engine("random:tiny", device="cpu", slots=1, paced=True)
    engine.submit(replace(said(1, max_tokens=400), window=40_000))
    engine.submit(said(2))
    heard = drain(engine)
    assert pcm(heard, 1)
    assert not pcm(heard, 2)
    assert engine.active == 0
    engine.taken(1, 10_000_000)
    assert engine.active
    assert pcm(drain(engine), 2)
    engine.close()


def test_max_active_limits_the_streams(said):
    made = create_engine("random:tiny", device="cpu", slots=4)
    engine = DiaEngine(made.runner, max_active=2)
    assert engine.info.slots == 2
    for number in range(1, 5):
        engine.submit(said(number))
    engine.step()
    assert sorted(engine.streams.by_slot) == [0, 1]
    assert sum(isinstance(event, Finished) for event in drain(engine)) == 4
    engine.close()


def test_truncated_speech_does_not_change_the_context(engine, said):
    drain(engine, [said(1, text=TEXT * 3, context=7, max_tokens=100)])
    assert engine.contexts[7].prompt is None


def test_every_segment_uses_the_context_prompt(engine, said, monkeypatch):
    """400 characters take more bytes, in some scripts, than Dia reads at a time."""
    drain(engine, [said(1, context=7, max_tokens=300, seed=5)])
    prompt = engine.contexts[7].prompt
    prompts, prefill = [], engine.runner.prefill
    monkeypatch.setattr(
        engine.runner,
        "prefill",
        lambda slot, beginning: prompts.append(beginning.prompt) or prefill(slot, beginning),
    )
    drain(engine, [said(2, text="你好，" * 133, context=7)])
    assert len(prompts) == 2
    assert all(used is prompt for used in prompts)


@pytest.mark.slow
def test_context_prompt_leaves_room_for_text(engine, said):
    drain(engine, [said(1, text="你好，" * 40 + "Hi. " * 60, context=7, max_tokens=2400)])
    prompt = engine.contexts[7].prompt
    assert 0 < len(prompt.transcript.encode()) <= MAX_PROMPT_BYTES


def test_out_of_memory_in_the_codec_fails_one_utterance(engine, said, monkeypatch):
    alone = {number: alone_pcm(engine, said(number)) for number in (1, 2, 3)}
    decode, calls = engine.runner.decode, []

    def stingy(pieces, frames):
        calls.append(pieces)
        if len(calls) == 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        decode(pieces, frames)

    monkeypatch.setattr(engine.runner, "decode", stingy)
    now = time.monotonic()
    events = drain(engine, [said(number, deadline=now + number) for number in (1, 2, 3)])
    ends = {number: of(events, number)[-1] for number in alone}
    (failed,) = [number for number, end in ends.items() if isinstance(end, Failed)]
    for number, whole in alone.items():
        if number != failed:
            assert isinstance(ends[number], Finished)
            assert pcm(events, number) == whole
    assert engine.active == 0
    assert not engine.streams.by_slot


def test_out_of_memory_in_a_step_fails_one_utterance(engine, said, monkeypatch):
    alone = alone_pcm(engine, said(1))
    step, failed = engine.runner.step, []

    def stingy(slot_ids, shape):
        if len(slot_ids) > 1 and not failed:
            failed.append(slot_ids)
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(slot_ids, shape)

    monkeypatch.setattr(engine.runner, "step", stingy)
    now = time.monotonic()
    events = drain(engine, [said(1, deadline=now), said(2, deadline=now + 1)])
    assert pcm(events, 1) == alone
    (failure,) = of(events, 2)
    assert isinstance(failure, Failed)
    assert failure.retryable


def test_other_device_errors_propagate(engine, said, monkeypatch):
    def broken(slot_ids, shape):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(engine.runner, "step", broken)
    engine.submit(said(1))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        engine.step()


def test_close_frees_all_memory(said):
    def held():
        gc.collect()
        return sum(o.numel() for o in gc.get_objects() if type(o) is torch.Tensor)

    before = held()
    engine = create_engine("random:tiny", device="cpu", slots=2)
    drain(engine, [said(1)])
    engine.submit(said(2))
    engine.step()
    assert held() > before + 1_000_000
    engine.relieve()
    engine.close()
    assert held() <= before + 10_000


def used(used_gb, total_gb):
    """A device's memory."""
    return lambda device: MemoryReport(int(used_gb * 1e9), int(total_gb * 1e9))


def test_model_without_room_reports_needed_and_free_memory():
    with pytest.raises(EngineFailure, match=r"need 7\.\d GB on cpu, where 1\.0 GB of 16\.0 GB are free"):
        create_engine("random:full", device="cpu", memory=used(15, 16))


def test_quantized_weights_need_room_while_loading():
    with pytest.raises(EngineFailure, match=r"need 6\.\d GB on cpu, where 5\.0 GB"):
        create_engine("random:full", device="cpu", quantize="int8", memory=used(11, 16))


def test_memory_tells_the_model_from_the_slots():
    from streaming_server.engines.dia.serving.load import weight_bytes

    def memory(slots):
        engine = create_engine("random:tiny", device="cpu", slots=slots)
        config, codec = engine.runner.slots.model.config, engine.runner.codec.config
        report = engine.memory()
        engine.close()
        assert report.model == weight_bytes(config, codec, torch.float32)
        return report

    one, three = memory(1), memory(3)
    assert three.slots == 3 * one.slots > 0
    assert one.model + one.slots < one.used < one.total


def test_running_out_of_memory_while_loading_is_said_with_what_to_do(monkeypatch):
    from streaming_server.engines.dia.serving import load

    def greedy(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a lot.")

    monkeypatch.setattr(load, "read_codec", greedy)
    with pytest.raises(EngineFailure, match=r"Out of memory on cpu .* lower --slots.*\(CUDA out of memory\)"):
        create_engine("random:tiny", device="cpu", slots=1)


def test_cudnn_attention_is_off_before_the_model_computes(monkeypatch):
    from streaming_server.engines.dia.serving import load

    torch.backends.cuda.enable_cudnn_sdp(True)
    enabled = []
    make = load.DiaModel
    monkeypatch.setattr(
        load,
        "DiaModel",
        lambda *given: enabled.append(torch.backends.cuda.cudnn_sdp_enabled()) or make(*given),
    )
    create_engine("random:tiny", device="cpu", slots=1).close()
    assert enabled == [False]


def test_unknown_devices_and_precisions_are_errors():
    with pytest.raises(EngineFailure, match="abacus"):
        create_engine("random:tiny", device="abacus")
    with pytest.raises(EngineFailure, match="not on mps"):
        create_engine("random:tiny", device="mps")
    with pytest.raises(EngineFailure, match="int3"):
        create_engine("random:tiny", device="cpu", dtype="int3")


def test_paused_stream_sounds_the_same(said):
    window = 40_000
    free, held = (create_engine("random:tiny", device="cpu", slots=2, paced=paced) for paced in (False, True))
    utterance = replace(said(1, max_tokens=300), window=window)
    whole = pcm(drain(free, [utterance]), 1)
    assert len(whole) > 4 * window
    held.submit(utterance)
    heard = b""
    while len(heard) < len(whole):
        while held.active:
            heard += pcm(held.step(), 1)
        assert heard == whole or 0 < len(heard) < len(whole)
        held.taken(1, len(heard) - window // 2)
    while held.active:
        assert any(isinstance(event, Finished) for event in held.step())
    assert heard == whole
    for engine in (free, held):
        engine.close()


def test_paused_stream_buffers_little_and_can_be_cancelled(said):
    window = 40_000
    engine = create_engine("random:tiny", device="cpu", slots=1, paced=True)
    engine.submit(replace(said(1, max_tokens=400), window=window))
    heard = b""
    while engine.active:
        heard += pcm(engine.step(), 1)
    assert window <= len(heard) < window + 2 * HOP * 40
    engine.cancel(1)
    assert pcm(drain(engine, [said(2)]), 2)
    engine.close()
