"""The services that routes use, in groups."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from streaming_server.configuration import Configuration
from streaming_server.contexts import Contexts
from streaming_server.engines.selection import SelectedEngine
from streaming_server.errors import Full
from streaming_server.jobs.queue import JobQueue
from streaming_server.metrics import Metrics
from streaming_server.pool.pool import Pool
from streaming_server.settings import Settings
from streaming_server.storage.expiry import Expiry
from streaming_server.storage.history import Journal
from streaming_server.storage.jobs import Jobs
from streaming_server.storage.previews import Previews
from streaming_server.storage.recorder import Recorder
from streaming_server.transcription.client import Transcription
from streaming_server.types import EngineInfo
from streaming_server.voice_samples.discovery import Discovery
from streaming_server.voice_samples.ingest import VoiceSampleIngest
from streaming_server.voice_samples.transcription_queue import TranscriptionQueue
from streaming_server.voices.catalogue import Catalogue
from streaming_server.voices.downloads import VoiceFiles
from streaming_server.voices.library import VoiceLibrary
from streaming_server.voices.pronunciations import PronunciationList
from streaming_server.web.drain import Drain
from streaming_server.web.keys import Keys
from streaming_server.web.limits import Limits, UploadPlaces
from streaming_server.web.origins import Origins
from streaming_server.web.status.history_recorder import HistoryRecorder
from streaming_server.web.status.server_status import ServerStatus
from streaming_server.web.websocket.registry import Connections
from streaming_server.web.websocket.waiting_room import WaitingRoom
from streaming_server.web.wrong_keys import WrongKeys


@dataclass(frozen=True, slots=True)
class SpeechServices:
    """Services for everything that speaks."""

    settings: Settings
    engine: SelectedEngine
    keys: Keys
    origins: Origins
    limits: Limits
    pool: Pool
    metrics: Metrics
    catalogue: Catalogue
    contexts: Contexts
    connections: Connections
    voice_files: VoiceFiles
    waiting_room: WaitingRoom = field(default_factory=WaitingRoom)
    wrong_keys: WrongKeys = field(default_factory=WrongKeys)


@dataclass(frozen=True, slots=True)
class VoiceServices:
    """Voices, voice samples and transcripts.

    whisper: the client of Whisper. transcription_queue: its background requests.
    """

    library: VoiceLibrary
    ingest: VoiceSampleIngest
    discovery: Discovery
    whisper: Transcription
    transcription_queue: TranscriptionQueue
    uploads: UploadPlaces


@dataclass(frozen=True, slots=True)
class JobServices:
    """jobs: the table. queue: adds, cancels and retries."""

    jobs: Jobs
    queue: JobQueue


@dataclass(frozen=True, slots=True)
class OutputServices:
    """Stored speech."""

    recorder: Recorder
    previews: Previews


@dataclass(frozen=True, slots=True)
class Operations:
    """Services for operators."""

    configuration: Configuration
    pronunciations: PronunciationList
    journal: Journal
    expiry: Expiry
    status: ServerStatus
    status_history: HistoryRecorder


@dataclass(frozen=True, slots=True)
class Services:
    """All services, opened by the lifespan. Routes get the group they use from a function below."""

    speech: SpeechServices
    voices: VoiceServices
    jobs: JobServices
    outputs: OutputServices
    operations: Operations
    drain: Drain


def services_of(app: Starlette) -> Services | None:
    """Return the services of an application, or None unless it is running."""
    services = getattr(app.state, "services", None)
    assert services is None or isinstance(services, Services)
    return services


def speech_services(connection: HTTPConnection) -> SpeechServices:
    return _services(connection).speech


def voice_services(connection: HTTPConnection) -> VoiceServices:
    return _services(connection).voices


def job_services(connection: HTTPConnection) -> JobServices:
    return _services(connection).jobs


def output_services(connection: HTTPConnection) -> OutputServices:
    return _services(connection).outputs


def operations(connection: HTTPConnection) -> Operations:
    return _services(connection).operations


def loaded_engine(services: SpeechServices) -> EngineInfo:
    """Return the description of the engine. Raise Full while no worker has loaded it yet."""
    if (engine := services.pool.info) is None:
        raise Full("The engine is still loading; try again in a moment.")
    return engine


def _services(connection: HTTPConnection) -> Services:
    services = services_of(connection.app)
    assert services is not None, "the application is not running"
    return services
