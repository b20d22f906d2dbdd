"""The engines that are installed, from the entry-point group `streaming_server.engines`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from streaming_server.engines.provider import EngineProvider
from streaming_server.errors import EngineFailure

GROUP = "streaming_server.engines"


@dataclass(frozen=True, slots=True, order=True)
class InstalledEngine:
    """An engine that some package registers. `reference` names its provider, as `package.module:object`."""

    name: str
    reference: str

    def load(self) -> EngineProvider:
        """Import the provider. Raises EngineFailure."""
        try:
            provider = EntryPoint(self.name, self.reference, GROUP).load()
        except Exception as error:  # A stranger's module may raise anything while it is imported.
            reason = f"{type(error).__name__}: {error}"
            raise EngineFailure(f"Engine {self.name} cannot be imported: {reason}.") from error
        if not isinstance(provider, EngineProvider):
            raise EngineFailure(f"Engine {self.name}: {self.reference} is not an EngineProvider.")
        return provider


def installed_engines() -> list[InstalledEngine]:
    """Return every engine that is registered, by name."""
    return registered(entry_points(group=GROUP))


def registered(points: Iterable[EntryPoint]) -> list[InstalledEngine]:
    """Return the engines of these entry points, by name; one registered twice alike is one engine."""
    return sorted({InstalledEngine(point.name, point.value) for point in points})


def find_engine(name: str, engines: Sequence[InstalledEngine]) -> InstalledEngine:
    """Return the engine of that name. Raises EngineFailure."""
    found = [engine for engine in engines if engine.name == name]
    if not found:
        available = ", ".join(sorted({engine.name for engine in engines})) or "none (reinstall this package)"
        raise EngineFailure(f"Engine {name} is not installed; available: {available}.")
    if len(found) > 1:
        references = " and ".join(engine.reference for engine in found)
        raise EngineFailure(f"Engine {name} is registered twice, as {references}; uninstall one.")
    return found[0]
