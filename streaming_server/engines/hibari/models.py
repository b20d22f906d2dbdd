"""Voice models outside the wheel, each loaded on a background thread when first wanted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from streaming_server.engines.hibari.further_voices import british
from streaming_server.engines.hibari.network import Network
from streaming_server.engines.hibari.phonemes import PhonemeReader
from streaming_server.errors import EngineFailure, VoiceUnavailable
from streaming_server.types import EngineVoice

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VoiceModel:
    """A model and the front end of its language."""

    network: Network
    reader: PhonemeReader


@dataclass(slots=True)
class _Loading:
    """A model that is being loaded. Written by its own thread only."""

    model: VoiceModel | None = None
    error: EngineFailure | None = None


class VoiceModels:
    """The further voices of the hibari package, by name. The server puts their files in place."""

    def __init__(self, voices: Iterable[EngineVoice] = ()) -> None:
        self._paths = {voice.voice.id: voice.file.path for voice in voices if voice.file is not None}
        self._loading: dict[str, _Loading] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._paths

    def prepare(self, name: str) -> None:
        """Load a model in the background, again if that failed. Return at once.

        Do nothing while its file is missing.
        """
        last = self._loading.get(name)
        if (last is None or last.error is not None) and self._paths[name].exists():
            loading = self._loading[name] = _Loading()
            threading.Thread(
                target=self._load, args=(name, loading), name=f"load {name}", daemon=True
            ).start()

    def is_loading(self, name: str) -> bool:
        loading = self._loading.get(name)
        return loading is not None and loading.model is None and loading.error is None

    def find(self, name: str) -> VoiceModel:
        """Return a model that is not being loaded.

        Raises VoiceUnavailable if its file is missing, and EngineFailure if it could not be loaded.
        """
        loading = self._loading.get(name)
        if loading is None:
            raise VoiceUnavailable(f"Voice {name} is not on this machine yet; try again.")
        if loading.error is not None:
            raise loading.error
        assert loading.model is not None
        return loading.model

    def _load(self, name: str, loading: _Loading) -> None:
        path = self._paths[name]
        try:
            loading.model = VoiceModel(Network(path), PhonemeReader(british=british(name)))
        except Exception:  # Without an answer the voice would be loading for ever.
            log.exception("voice could not be loaded")
            loading.error = EngineFailure(
                f"Voice {name} could not be loaded; delete {path.name} from --voices-dir to fetch it again."
            )
