"""Dimensions of Dia and its codec, read from a checkpoint's config.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
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


_ENCODER_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "layers": "num_hidden_layers",
        "width": "hidden_size",
        "heads": "num_attention_heads",
        "head_width": "head_dim",
        "ff_width": "intermediate_size",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
        "norm_eps": "norm_eps",
    }
)
_DECODER_KEYS: Mapping[str, str] = MappingProxyType(
    {
        **_ENCODER_KEYS,
        "kv_heads": "num_key_value_heads",
        "cross_heads": "cross_num_attention_heads",
        "cross_head_width": "cross_head_dim",
        "channels": "num_channels",
    }
)
"""The names of our fields in transformers' layout."""

_NESTED_ENCODER_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "layers": "n_layer",
        "width": "n_embd",
        "heads": "n_head",
        "head_width": "head_dim",
        "ff_width": "n_hidden",
    }
)
_NESTED_DECODER_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "layers": "n_layer",
        "width": "n_embd",
        "heads": "gqa_query_heads",
        "kv_heads": "kv_heads",
        "head_width": "gqa_head_dim",
        "cross_heads": "cross_query_heads",
        "cross_head_width": "cross_head_dim",
        "ff_width": "n_hidden",
    }
)
"""The same in the nari-labs package's layout."""

_REQUIRED = frozenset({"layers", "width", "heads", "ff_width", "kv_heads", "cross_heads"})
"""Fields without which a config.json in transformers' layout is rejected."""


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
            raise EngineFailure(f"config.json: the field {error} is missing or malformed.") from error
        raise EngineFailure("config.json is not a Dia model: encoder_config is missing.")

    @classmethod
    def _from_flat(cls, document: dict[str, Any]) -> Self:
        e, d = document["encoder_config"], document["decoder_config"]
        config = cls(
            encoder=EncoderConfig(**_read(e, _ENCODER_KEYS, EncoderConfig()), rope_theta=_theta(e)),
            decoder=DecoderConfig(**_read(d, _DECODER_KEYS, DecoderConfig()), rope_theta=_theta(d)),
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
        common: dict[str, Any] = {
            "norm_eps": float(model.get("normalization_layer_epsilon", 1e-5)),
            "rope_theta": float(model.get("rope_max_timescale", 10000.0)),
        }
        config = cls(
            encoder=EncoderConfig(
                **{name: int(model["encoder"][key]) for name, key in _NESTED_ENCODER_KEYS.items()},
                vocabulary=int(model.get("src_vocab_size", 256)),
                positions=int(data["text_length"]),
                **common,
            ),
            decoder=DecoderConfig(
                **{name: int(model["decoder"][key]) for name, key in _NESTED_DECODER_KEYS.items()},
                vocabulary=int(model.get("tgt_vocab_size", 1028)),
                channels=int(data["channels"]),
                positions=int(data["audio_length"]),
                **common,
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
                raise EngineFailure(f"config.json: {what} has a value that Dia does not support.")

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
                **{key: getattr(e, name) for name, key in _ENCODER_KEYS.items()},
                "num_key_value_heads": e.heads,
                "rope_parameters": {"rope_type": "default", "rope_theta": e.rope_theta},
            },
            "decoder_config": {
                "model_type": "dia_decoder",
                **{key: getattr(d, name) for name, key in _DECODER_KEYS.items()},
                "cross_num_key_value_heads": d.cross_heads,
                "cross_hidden_size": e.width,
                "rope_parameters": {"rope_type": "default", "rope_theta": d.rope_theta},
                "eos_token_id": self.eos,
                "pad_token_id": self.pad,
                "bos_token_id": self.bos,
            },
        }


def _read(
    section: dict[str, Any], keys: Mapping[str, str], defaults: EncoderConfig | DecoderConfig
) -> dict[str, Any]:
    """Return the values of a section in transformers' layout, by our names. Raises KeyError."""
    values = {}
    for name, key in keys.items():
        default = getattr(defaults, name)
        value = section[key] if name in _REQUIRED else section.get(key, default)
        values[name] = type(default)(value)
    return values


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
            raise EngineFailure("config.json is not a DAC codec: model_type is not dac.")
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
            raise EngineFailure(f"config.json: the field {error} is missing or malformed.") from error
        if any(rate % 2 for rate in rates):
            raise EngineFailure("config.json: downsampling_ratios has a value that DAC does not support.")
        return config


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
