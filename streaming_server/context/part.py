"""A voice and how it speaks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from streaming_server.text.prosody import NEUTRAL, Prosody
from streaming_server.types import EngineInfo, Generation, ProsodySpan, Voice


@dataclass(frozen=True, slots=True)
class Part:
    """A voice and how it speaks. Its speed and pitch may be out of the engine's reach."""

    voice: Voice
    generation: Generation

    def shared(self, engine: EngineInfo, prosody: Prosody = NEUTRAL) -> tuple[Generation, float]:
        """Return the options for the engine, and the tempo at which its audio is to be heard.

        The engine speaks as near to the speed as it can; the tempo is what is left.
        """
        own = self._own
        wanted = prosody.within(own)
        slowest, fastest = engine.speeds if "speed" in engine.uses else (1.0, 1.0)
        speed = min(max(wanted.speed, slowest), fastest)
        generation = self.generation
        if generation.speed is not None or speed != 1.0:
            generation = replace(generation, speed=speed)
        if wanted.pitch != own.pitch:
            generation = replace(generation, pitch=wanted.pitch)
        return generation, wanted.speed / speed

    def reachable(self, spans: tuple[ProsodySpan, ...]) -> tuple[ProsodySpan, ...]:
        """Return spans of prosody that together with the voice's own stay within the bounds."""
        own = self._own
        reached = ((span, Prosody(span.speed, span.pitch).within(own)) for span in spans)
        return tuple(
            replace(span, speed=prosody.speed / own.speed, pitch=prosody.pitch / own.pitch)
            for span, prosody in reached
        )

    @property
    def _own(self) -> Prosody:
        return Prosody(self.generation.speed or 1.0, self.generation.pitch or 1.0)
