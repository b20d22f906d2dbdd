"""Sampling follows the distribution and depends only on the stream."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from streaming_server.engines.dia.model.sampling import SamplingRules, SamplingTensors, sample_codes, uniform  # noqa: E402

EOS = 20
RULES = SamplingRules.of(2, EOS, torch.device("cpu"))


def sampling(streams, guidance=0.0, temperature=1.0, top_p=1.0, filter_k=24, top_k=24, seeds=None):
    def real(value):
        return torch.full((streams, 1, 1), float(value))

    def whole(value):
        return torch.full((streams, 1, 1), value)

    seed = torch.arange(streams) if seeds is None else torch.tensor(seeds)
    return SamplingTensors(
        real(guidance), real(temperature), real(top_p), whole(filter_k), whole(top_k), seed[:, None]
    )


def pick(logits, settings, row=1):
    streams = settings.seed.shape[0]
    rows = torch.full((streams, 1), row)
    return sample_codes(logits.expand(streams, -1, -1, -1), settings, rows, RULES, 24, True)


def quiet_logits(seed=0):
    """[1, 2, channels, vocabulary], with end of audio unlikely."""
    logits = torch.randn(1, 2, 2, 24, generator=torch.Generator().manual_seed(seed)) * 1.5
    logits[..., EOS] = -5
    return logits


def allowed_logits(logits):
    """[channels, vocabulary]: what may be drawn, where end of audio is not the likeliest."""
    return logits[0, 0].masked_fill(torch.arange(24) >= EOS, -torch.inf)


def test_uniform_is_uniform_and_uncorrelated():
    numbers = uniform(torch.arange(400)[:, None], torch.arange(1000)[None])
    assert float(numbers.min()) > 0
    assert float(numbers.max()) < 1
    assert float(numbers.mean()) == pytest.approx(0.5, abs=0.002)
    counts = torch.histc(numbers, bins=20, min=0, max=1)
    assert float(((counts - 20000) ** 2 / 20000).sum()) < 60
    for one, other in ((numbers[:-1], numbers[1:]), (numbers[:, :-1], numbers[:, 1:])):
        assert abs(float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])) < 0.01


def test_uniform_gives_the_same_bits_everywhere():
    expected = [0.072970449924469, 0.38982969522476196, 0.9835048317909241]
    assert uniform(torch.tensor(7), torch.tensor([0, 1, 2**40])).tolist() == expected


def test_sampling_follows_the_distribution():
    streams = 40_000
    logits = quiet_logits()
    legal = allowed_logits(logits)
    picked = pick(logits, sampling(streams, temperature=1.3))
    for channel in range(2):
        expected = torch.softmax(legal[channel] / 1.3, dim=-1) * streams
        counts = torch.bincount(picked[:, channel], minlength=24).float()
        likely = expected > 5
        assert float(((counts - expected) ** 2 / expected)[likely].sum()) < 50
        assert int(counts[expected == 0].sum()) == 0


def test_top_k_keeps_the_k_likeliest():
    logits = quiet_logits()
    picked = pick(logits, sampling(5000, top_k=3, temperature=2.0))
    legal = allowed_logits(logits)[1]
    assert set(picked[:, 1].tolist()) == set(legal.topk(3).indices.tolist())


def test_top_p_keeps_the_smallest_set_that_reaches_p():
    logits = quiet_logits()
    legal = allowed_logits(logits)[1]
    probabilities, order = torch.softmax(legal, -1).sort(descending=True)
    kept = order[: int((probabilities.cumsum(0) - probabilities <= 0.6).sum())]
    picked = pick(logits, sampling(5000, top_p=0.6))
    assert set(picked[:, 1].tolist()) == set(kept.tolist())


def test_guidance_filters_without_shifting_odds():
    logits = quiet_logits()
    conditional, unconditional = logits[0]
    guided = conditional + 4 * (conditional - unconditional)
    allowed = set(guided[1].topk(6).indices.tolist())
    picked = pick(logits, sampling(20000, guidance=4.0, filter_k=6))[:, 1]
    within = allowed_logits(logits)[1]
    within[[code for code in range(24) if code not in allowed]] = -torch.inf
    expected = torch.softmax(within, -1)
    frequency = torch.bincount(picked, minlength=24) / 20000
    assert float((frequency - expected).abs().max()) < 0.02


def test_end_of_audio_is_forced_when_likeliest_and_forbidden_otherwise():
    logits = quiet_logits()
    best = logits[0, 0, 0, :EOS].amax()
    logits[0, 0, :, EOS] = best - 0.001
    assert EOS not in pick(logits, sampling(3000))
    logits[0, 0, :, EOS] = best + 0.001
    picked = pick(logits, sampling(300))
    assert set(picked[:, 0].tolist()) == {EOS}
    assert EOS not in picked[:, 1]


def test_greedy_streams_take_argmax_beside_sampling_ones():
    settings = sampling(2)
    settings.temperature[0] = 0
    logits = quiet_logits()
    expected = allowed_logits(logits).argmax(-1)
    assert torch.equal(pick(logits, settings)[0], expected)


def test_codes_depend_on_seed_and_row():
    logits = torch.zeros(1, 2, 2, 24)
    drawn = torch.stack([pick(logits, sampling(3, seeds=[5, 6, 5]), row) for row in range(60)])
    assert torch.equal(drawn[:, 0], drawn[:, 2])
    assert not torch.equal(drawn[:, 0], drawn[:, 1])
    assert len(set(drawn[:, 0, 0].tolist())) > 5
    assert not torch.equal(drawn[:, 0, 0], drawn[:, 0, 1])


def test_no_allowed_candidate_gives_code_zero():
    logits = quiet_logits()
    logits[0, 0, :, EOS + 1] = 50
    assert pick(logits, sampling(4, guidance=3.0, filter_k=1)).tolist() == [[0, 0]] * 4
