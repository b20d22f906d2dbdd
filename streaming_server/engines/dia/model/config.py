"""Dimensions of Dia and its codec, read from a checkpoint's config.json."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

from streaming_server.errors import EngineFailure


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The text encoder. The defaults are Dia-1.6B's."""

    layers: int = 12
    width: int = 1024
    heads: int = 16
    head_width: int = 128
    ff_width: int = 4096
    vocabulary: int = 256
    positions: int = 1024
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """The audio decoder. The defaults are Dia-1.6B's."""

    layers: int = 18
    width: int = 2048
    heads: int = 16
    kv_heads: int = 4
    head_width: int = 128
    cross_heads: int = 16
    cross_head_width: int = 128
    ff_width: int = 8192
    vocabulary: int = 1028
    channels: int = 9
    positions: int = 3072
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0


@dataclass(frozen=True, slots=True)
class DiaConfig:
    """The whole model.

    delays: rows by which each channel's codes lag the first channel's.
    """

    encoder: EncoderConfig = EncoderConfig()
    decoder: DecoderConfig = DecoderConfig()
    delays: tuple[int, ...] = (0, 8, 9, 10, 11, 12, 13, 14, 15)
    eos: int = 1024
    pad: int = 1025
    bos: int = 1026

    @property
    def last_delay(self) -> int:
        return max(self.delays)

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self:
        """Read config.json in transformers' layout or either layout of the nari-labs package.

        Raises EngineFailure, naming the field, if a value is missing or invalid.
        """
        try:
            if "encoder_config" in document:
                return cls._from_flat(document)
            if "model" in document and "data" in document:
                return cls._from_nested(document)
        except (KeyError, TypeError, ValueError) as error:
            raise EngineFailure(f"config.json: the field {error} is missing or malformed") from error
        raise EngineFailure("config.json is not a Dia model: encoder_config is missing")

    @classmethod
    def _from_flat(cls, document: dict[str, Any]) -> Self:
        e, d = document["encoder_config"], document["decoder_config"]
        defaults_e, defaults_d = EncoderConfig(), DecoderConfig()
        config = cls(
            encoder=EncoderConfig(
                layers=int(e["num_hidden_layers"]),
                width=int(e["hidden_size"]),
                heads=int(e["num_attention_heads"]),
                head_width=int(e.get("head_dim", defaults_e.head_width)),
                ff_width=int(e["intermediate_size"]),
                vocabulary=int(e.get("vocab_size", defaults_e.vocabulary)),
                positions=int(e.get("max_position_embeddings", defaults_e.positions)),
                norm_eps=float(e.get("norm_eps", defaults_e.norm_eps)),
                rope_theta=_theta(e),
            ),
            decoder=DecoderConfig(
                layers=int(d["num_hidden_layers"]),
                width=int(d["hidden_size"]),
                heads=int(d["num_attention_heads"]),
                kv_heads=int(d["num_key_value_heads"]),
                head_width=int(d.get("head_dim", defaults_d.head_width)),
                cross_heads=int(d["cross_num_attention_heads"]),
                cross_head_width=int(d.get("cross_head_dim", defaults_d.cross_head_width)),
                ff_width=int(d["intermediate_size"]),
                vocabulary=int(d.get("vocab_size", defaults_d.vocabulary)),
                channels=int(d.get("num_channels", defaults_d.channels)),
                positions=int(d.get("max_position_embeddings", defaults_d.positions)),
                norm_eps=float(d.get("norm_eps", defaults_d.norm_eps)),
                rope_theta=_theta(d),
            ),
            delays=tuple(int(delay) for delay in document.get("delay_pattern") or cls().delays),
            eos=_token("eos", document, d, cls().eos),
            pad=_token("pad", document, d, cls().pad),
            bos=_token("bos", document, d, cls().bos),
        )
        config._check(
            encoder_kv_heads=int(e.get("num_key_value_heads") or config.encoder.heads),
            cross_kv_heads=int(d.get("cross_num_key_value_heads") or config.decoder.cross_heads),
            cross_width=int(d.get("cross_hidden_size", config.encoder.width)),
        )
        return config

    @classmethod
    def _from_nested(cls, document: dict[str, Any]) -> Self:
        model, data = document["model"], document["data"]
        e, d = model["encoder"], model["decoder"]
        eps = float(model.get("normalization_layer_epsilon", 1e-5))
        theta = float(model.get("rope_max_timescale", 10000.0))
        config = cls(
            encoder=EncoderConfig(
                layers=int(e["n_layer"]),
                width=int(e["n_embd"]),
                heads=int(e["n_head"]),
                head_width=int(e["head_dim"]),
                ff_width=int(e["n_hidden"]),
                vocabulary=int(model.get("src_vocab_size", 256)),
                positions=int(data["text_length"]),
                norm_eps=eps,
                rope_theta=theta,
            ),
            decoder=DecoderConfig(
                layers=int(d["n_layer"]),
                width=int(d["n_embd"]),
                heads=int(d["gqa_query_heads"]),
                kv_heads=int(d["kv_heads"]),
                head_width=int(d["gqa_head_dim"]),
                cross_heads=int(d["cross_query_heads"]),
                cross_head_width=int(d["cross_head_dim"]),
                ff_width=int(d["n_hidden"]),
                vocabulary=int(model.get("tgt_vocab_size", 1028)),
                channels=int(data["channels"]),
                positions=int(data["audio_length"]),
                norm_eps=eps,
                rope_theta=theta,
            ),
            delays=tuple(int(delay) for delay in data["delay_pattern"]),
            eos=int(data.get("audio_eos_value", 1024)),
            pad=int(data.get("audio_pad_value", 1025)),
            bos=int(data.get("audio_bos_value", 1026)),
        )
        config._check(config.encoder.heads, config.decoder.cross_heads, config.encoder.width)
        return config

    def _check(self, encoder_kv_heads: int, cross_kv_heads: int, cross_width: int) -> None:
        """Reject variants that no published Dia uses and this engine does not implement."""
        d = self.decoder
        for wrong, what in (
            (encoder_kv_heads != self.encoder.heads, "encoder_config.num_key_value_heads"),
            (cross_kv_heads != d.cross_heads, "decoder_config.cross_num_key_value_heads"),
            (cross_width != self.encoder.width, "decoder_config.cross_hidden_size"),
            (d.heads % d.kv_heads != 0, "decoder_config.num_key_value_heads"),
            (len(self.delays) != d.channels or min(self.delays) != 0 or self.delays[0] != 0, "delay_pattern"),
            (max(self.eos, self.pad, self.bos) >= d.vocabulary, "decoder_config.vocab_size"),
            (self.encoder.head_width % 2 or d.head_width % 2, "head_dim"),
        ):
            if wrong:
                raise EngineFailure(f"config.json: {what} has a value that Dia does not support")

    def document(self) -> dict[str, Any]:
        """Return config.json in transformers' layout; `parse` reads it back."""
        e, d = self.encoder, self.decoder
        return {
            "architectures": ["DiaForConditionalGeneration"],
            "model_type": "dia",
            "is_encoder_decoder": True,
            "delay_pattern": list(self.delays),
            "norm_eps": d.norm_eps,
            "encoder_config": {
                "model_type": "dia_encoder",
                "num_hidden_layers": e.layers,
                "hidden_size": e.width,
                "num_attention_heads": e.heads,
                "num_key_value_heads": e.heads,
                "head_dim": e.head_width,
                "intermediate_size": e.ff_width,
                "vocab_size": e.vocabulary,
                "max_position_embeddings": e.positions,
                "norm_eps": e.norm_eps,
                "rope_parameters": {"rope_type": "default", "rope_theta": e.rope_theta},
            },
            "decoder_config": {
                "model_type": "dia_decoder",
                "num_hidden_layers": d.layers,
                "hidden_size": d.width,
                "num_attention_heads": d.heads,
                "num_key_value_heads": d.kv_heads,
                "head_dim": d.head_width,
                "cross_num_attention_heads": d.cross_heads,
                "cross_num_key_value_heads": d.cross_heads,
                "cross_head_dim": d.cross_head_width,
                "cross_hidden_size": e.width,
                "intermediate_size": d.ff_width,
                "vocab_size": d.vocabulary,
                "num_channels": d.channels,
                "max_position_embeddings": d.positions,
                "norm_eps": d.norm_eps,
                "rope_parameters": {"rope_type": "default", "rope_theta": d.rope_theta},
                "eos_token_id": self.eos,
                "pad_token_id": self.pad,
                "bos_token_id": self.bos,
            },
        }


def _theta(section: dict[str, Any]) -> float:
    parameters = section.get("rope_parameters") or {}
    return float(parameters.get("rope_theta") or section.get("rope_theta") or 10000.0)


def _token(name: str, document: dict[str, Any], decoder: dict[str, Any], default: int) -> int:
    for section in (decoder, document):
        value = section.get(f"{name}_token_id")
        if value is not None:
            return int(value)
    return default


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """The DAC codec. The defaults are those of the 44.1 kHz, 8 kbit/s model.

    rates: upsampling factor per decoder block; their product is the hop, in samples per frame.
    """

    sample_rate: int = 44100
    codebooks: int = 9
    codebook_size: int = 1024
    codebook_width: int = 8
    latent_width: int = 1024
    decoder_width: int = 1536
    rates: tuple[int, ...] = (8, 8, 4, 2)

    @property
    def hop(self) -> int:
        return math.prod(self.rates)

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self:
        """Read config.json in transformers' layout.

        Raises EngineFailure, naming the field, if a value is missing or invalid.
        """
        if document.get("model_type", "dac") != "dac":
            raise EngineFailure("config.json is not a DAC codec: model_type is not dac")
        defaults = cls()
        try:
            ratios = document.get("downsampling_ratios")
            rates = tuple(int(ratio) for ratio in reversed(ratios)) if ratios else defaults.rates
            config = cls(
                sample_rate=int(document["sampling_rate"]),
                codebooks=int(document.get("n_codebooks", defaults.codebooks)),
                codebook_size=int(document.get("codebook_size", defaults.codebook_size)),
                codebook_width=int(document.get("codebook_dim", defaults.codebook_width)),
                latent_width=int(document.get("encoder_hidden_size", 64)) * 2 ** len(rates),
                decoder_width=int(document.get("decoder_hidden_size", defaults.decoder_width)),
                rates=rates,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EngineFailure(f"config.json: the field {error} is missing or malformed") from error
        if any(rate % 2 for rate in rates):
            raise EngineFailure("config.json: downsampling_ratios has a value that DAC does not support")
        return config

    def document(self) -> dict[str, Any]:
        """Return config.json in transformers' layout; `parse` reads it back."""
        return {
            "architectures": ["DacModel"],
            "model_type": "dac",
            "sampling_rate": self.sample_rate,
            "n_codebooks": self.codebooks,
            "codebook_size": self.codebook_size,
            "codebook_dim": self.codebook_width,
            "encoder_hidden_size": self.latent_width // 2 ** len(self.rates),
            "decoder_hidden_size": self.decoder_width,
            "downsampling_ratios": list(reversed(self.rates)),
        }


TINY_DIA = DiaConfig(
    encoder=EncoderConfig(layers=2, width=64, heads=4, head_width=16, ff_width=128),
    decoder=DecoderConfig(
        layers=2,
        width=64,
        heads=4,
        kv_heads=2,
        head_width=16,
        cross_heads=4,
        cross_head_width=16,
        ff_width=128,
    ),
)
"""Dia's layout with about 1.4 million parameters, for tests and benchmarks."""

TINY_CODEC = CodecConfig(latent_width=32, decoder_width=48)
"""DAC's layout, hop and receptive field with few channels, for tests and benchmarks."""
