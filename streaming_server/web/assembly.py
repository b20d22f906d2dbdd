"""Opens everything a server needs and closes it again."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path

import anyio
import structlog
from anyio import to_thread
from anyio.abc import TaskGroup

from streaming_server.audio.frames import warm_up
from streaming_server.configuration import Configuration
from streaming_server.contexts import Contexts
from streaming_server.engines.provider import EngineProvider
from streaming_server.engines.selection import SelectedEngine
from streaming_server.errors import EngineFailure
from streaming_server.jobs.queue import JobQueue
from streaming_server.jobs.runner import JobRunner
from streaming_server.metrics import Metrics
from streaming_server.pool.devices import Device, choose_devices, visible_gpus
from streaming_server.pool.pool import Pool
from streaming_server.pool.supervisor import WorkerCommand
from streaming_server.settings import Settings
from streaming_server.storage.configuration import ConfigurationStore
from streaming_server.storage.data_lock import DataLock
from streaming_server.storage.database import Database
from streaming_server.storage.expiry import Expiry
from streaming_server.storage.history import Journal
from streaming_server.storage.jobs import Jobs
from streaming_server.storage.objects import FolderObjects, Objects
from streaming_server.storage.outputs import OutputFolder
from streaming_server.storage.previews import Previews
from streaming_server.storage.pronunciations import PronunciationStore
from streaming_server.storage.recorder import Recorder
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.client import Transcription
from streaming_server.voice_samples.decoder import SampleDecoder
from streaming_server.voice_samples.discovery import Discovery
from streaming_server.voice_samples.ingest import VoiceSampleIngest
from streaming_server.voice_samples.transcription_queue import TranscriptionQueue
from streaming_server.voices.catalogue import Catalogue
from streaming_server.voices.downloads import LONGEST_S as LONGEST_DOWNLOAD_S
from streaming_server.voices.downloads import VoiceFiles
from streaming_server.voices.library import VoiceLibrary
from streaming_server.voices.pronunciations import PronunciationList
from streaming_server.web.drain import Drain
from streaming_server.web.keys import Keys
from streaming_server.web.limits import Limits, UploadPlaces
from streaming_server.web.origins import Origins
from streaming_server.web.peer_changes import Follower, follower
from streaming_server.web.rest.job_speech import job_speech
from streaming_server.web.services import (
    JobServices,
    Operations,
    OutputServices,
    Services,
    SpeechServices,
    VoiceServices,
)
from streaming_server.web.status.history_recorder import HistoryRecorder
from streaming_server.web.status.server_status import ServerStatus, measure_loop_lag
from streaming_server.web.vendors.wyoming import server as wyoming
from streaming_server.web.websocket.registry import Connections

WHISPER_BYTES = 4 * 2**30
"""GPU memory that Whisper needs; with less free, it runs on the CPU."""

log = structlog.stdlib.get_logger(__name__)


@asynccontextmanager
async def running_services(
    settings: Settings, engine: SelectedEngine, origins: Origins
) -> AsyncIterator[Services]:
    """Open the data directory, start the workers and the background tasks; stop and close all on exit.

    Raise EngineFailure if the data directory or the devices asked for cannot be used, and, in an exception
    group, whatever a task fails with.
    """
    metrics = Metrics(settings.node)
    async with AsyncExitStack() as stack:
        if settings.database is None:
            await to_thread.run_sync(stack.enter_context, _locked(settings.data_dir.absolute()))
        pool = await to_thread.run_sync(_pool, settings, engine, metrics.observe_step)
        # Before the database, so that the workers load meanwhile.
        await stack.enter_async_context(pool.running())
        services = await to_thread.run_sync(_open, settings, engine, origins, pool, metrics, stack)
        speech, voices = services.speech, services.voices
        await voices.library.refresh()
        _check_aliases(settings, speech.catalogue)
        async with anyio.create_task_group() as group:
            await _start_tasks(services, group)
            try:
                yield services
            finally:
                services.drain.cut()
                group.cancel_scope.cancel()


async def _start_tasks(services: Services, group: TaskGroup) -> None:
    speech, voices, jobs = services.speech, services.voices, services.jobs
    runner = JobRunner(
        jobs.jobs,
        jobs.queue,
        job_speech(speech),
        has_room=lambda: speech.pool.has_room,
        has_listeners=lambda: speech.contexts.attended,
        draining=lambda: speech.limits.draining,
        voice_timeout_s=LONGEST_DOWNLOAD_S,
    )
    group.start_soon(to_thread.run_sync, warm_up)
    group.start_soon(voices.whisper.run)
    group.start_soon(voices.transcription_queue.run)
    group.start_soon(runner.run)
    if (url := speech.settings.database_url) is not None:
        _follow(follower(services, runner), url, speech.settings.node, group)
    group.start_soon(services.operations.expiry.run)
    voices.transcription_queue.schedule()
    if services.operations.configuration.now.auto_discover_prompts:
        group.start_soon(voices.discovery.discover_at_start)
    group.start_soon(_raise_start_failure, speech.pool)
    group.start_soon(speech.connections.watch)
    group.start_soon(measure_loop_lag, speech.metrics)
    group.start_soon(services.operations.status_history.run)
    if speech.settings.wyoming_port is not None:
        await _listen_for_wyoming(speech, group)


def _open(
    settings: Settings,
    engine: SelectedEngine,
    origins: Origins,
    pool: Pool,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> Services:
    """Open the stores and build what uses them. Blocks. Raise EngineFailure, StorageFailure."""
    data = settings.data_dir.absolute()
    database = stack.enter_context(closing(_open_database(settings)))
    objects = _objects(settings)
    store = VoiceStore(database, objects("prompts"), data / "tmp", engine.voices)
    store.sweep()
    configuration = Configuration(ConfigurationStore(database), settings)
    configuration.load()
    pronunciations = PronunciationList(PronunciationStore(database))
    pronunciations.load()
    speech = _speech_services(settings, engine, origins, pool, metrics, configuration, pronunciations)
    library = VoiceLibrary(store, speech.catalogue, pool.prepare)
    jobs = Jobs(database, objects("jobs"), settings.node)
    queue = JobQueue(jobs)
    outputs = OutputFolder(data / "outputs", settings.max_output_bytes)
    journal, previews = Journal(database, outputs, settings.node), Previews(data / "previews")
    recorder = Recorder(
        outputs,
        journal,
        keeps_copies=lambda: configuration.now.save_outputs,
        keeps_journal=lambda: configuration.now.debug_mode,
    )
    expiry = Expiry(
        {"outputs": journal, "jobs": jobs, "previews": previews},
        lambda: configuration.now.output_retention_hours,
    )
    status = _server_status(speech, queue)
    return Services(
        speech=speech,
        voices=_voice_services(settings, configuration, library, pool),
        jobs=JobServices(jobs, queue),
        outputs=OutputServices(recorder, previews),
        operations=Operations(
            configuration=configuration,
            pronunciations=pronunciations,
            journal=journal,
            expiry=expiry,
            status=status,
            status_history=_status_history(speech, status),
        ),
        drain=Drain(speech.limits, speech.contexts, speech.connections, queue),
    )


def _speech_services(
    settings: Settings,
    engine: SelectedEngine,
    origins: Origins,
    pool: Pool,
    metrics: Metrics,
    configuration: Configuration,
    pronunciations: PronunciationList,
) -> SpeechServices:
    limits = Limits(settings)
    catalogue = Catalogue(settings.voice_aliases, substitutes=settings.unknown_voice == "default")
    voice_files = VoiceFiles(engine.voices)
    contexts = Contexts(
        settings,
        pool,
        metrics,
        catalogue,
        voice_files,
        draining=lambda: limits.draining,
        show_text=lambda: configuration.now.show_prompts,
        pronunciations=lambda: pronunciations.now,
    )
    return SpeechServices(
        settings=settings,
        engine=engine,
        keys=Keys(settings),
        origins=origins,
        limits=limits,
        pool=pool,
        metrics=metrics,
        catalogue=catalogue,
        contexts=contexts,
        connections=Connections(settings.send_timeout_s, metrics),
        voice_files=voice_files,
    )


def _server_status(speech: SpeechServices, queue: JobQueue) -> ServerStatus:
    return ServerStatus(
        node=speech.settings.node,
        pool=speech.pool,
        contexts=speech.contexts,
        connections=speech.connections,
        metrics=speech.metrics,
        job_queue=queue,
        voice_files=speech.voice_files,
    )


def _status_history(speech: SpeechServices, status: ServerStatus) -> HistoryRecorder:
    return HistoryRecorder(
        speech.pool, speech.contexts, speech.connections, speech.metrics, lambda: status.uptime_s
    )


def _voice_services(
    settings: Settings, configuration: Configuration, library: VoiceLibrary, pool: Pool
) -> VoiceServices:
    whisper = Transcription(configuration.now.whisper_model_size, lambda: _whisper_device(pool))
    queue = TranscriptionQueue(whisper, library, lambda: configuration.now.auto_transcribe)
    ingest = VoiceSampleIngest(SampleDecoder(), library.store)
    discovery = Discovery(
        settings.samples_directory,
        ingest,
        library,
        queue,
        must_exist=settings.samples_dir is not None,
    )
    return VoiceServices(
        library=library,
        ingest=ingest,
        discovery=discovery,
        whisper=whisper,
        transcription_queue=queue,
        uploads=UploadPlaces(),
    )


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Lock the data directory. Blocks. Raise EngineFailure, naming the directory."""
    try:
        lock = DataLock(data)
    except OSError as error:
        reason = "This is a file" if data.is_file() else (error.strerror or str(error))
        raise EngineFailure(f"--data-dir {data} cannot be used: {reason}.") from error
    with closing(lock):
        yield


def _open_database(settings: Settings) -> Database:
    """Open the embedded database or the shared one. Blocks. Raise EngineFailure.

    SQLAlchemy is imported here and not with the module: the workers load meanwhile.
    """
    if (url := settings.database_url) is None:
        from streaming_server.storage.sqlite import SqliteDatabase

        return SqliteDatabase(settings.data_dir.absolute())
    from streaming_server.storage.postgresql import PostgresDatabase

    return PostgresDatabase(url, f"streaming-server {settings.node}")


def _objects(settings: Settings) -> Callable[[str], Objects]:
    """Return a function that opens the folder, or the part of the object store, of a name.

    Raise EngineFailure.
    """
    data = settings.data_dir.absolute()
    if settings.objects is None:
        if settings.database is not None:
            log.warning("other machines need the files of --data-dir too; share it, or set --objects")
        return lambda kind: FolderObjects(data / kind)
    try:
        from streaming_server.storage.bucket import BucketObjects, open_bucket
    except ModuleNotFoundError as error:
        raise EngineFailure(
            '--objects needs the extra "cluster": pip install "streaming-server[cluster]".'
        ) from error
    store = open_bucket(settings.objects)
    return lambda kind: BucketObjects(store, kind, data / kind)


def _check_aliases(settings: Settings, catalogue: Catalogue) -> None:
    """Warn of aliases of unknown voices; such a voice may be created later."""
    for alias, voice in settings.voice_aliases.items():
        if not catalogue.knows(voice):
            log.warning("alias of an unknown voice", alias=alias, voice=voice)


def _follow(changes: Follower, url: str, node: str, group: TaskGroup) -> None:
    """Keep up with the other servers on a shared database. The import needs the driver, an extra."""
    from streaming_server.storage.listener import NotificationListener

    group.start_soon(changes.run)
    group.start_soon(NotificationListener(url, f"streaming-server {node}").run, changes.notify)


async def _listen_for_wyoming(speech: SpeechServices, group: TaskGroup) -> None:
    """Raise EngineFailure if the address cannot be used."""
    try:
        await group.start(wyoming.listen, speech)
    except OSError as error:
        settings = speech.settings
        where = (
            f"--wyoming-host {settings.wyoming_host or settings.host} --wyoming-port {settings.wyoming_port}"
        )
        raise EngineFailure(f"Cannot listen on {where}: {error.strerror or error}.") from error


async def _raise_start_failure(pool: Pool) -> None:
    """Raise EngineFailure once no worker can start, for example for want of the model."""
    raise EngineFailure(await pool.start_failed())


def _whisper_device(pool: Pool) -> str:
    """Return the GPU with the most memory free, or the CPU if none has enough."""
    free = {
        worker.device.id.removeprefix("gpu_"): worker.gauge.report.total - worker.gauge.report.used
        for worker in pool.workers
        if worker.device.id.startswith("gpu_")
    }
    gpu = max(free, key=free.__getitem__, default=None)
    return f"cuda:{gpu}" if gpu is not None and free[gpu] >= WHISPER_BYTES else "cpu"


def _pool(settings: Settings, engine: SelectedEngine, on_step: Callable[[float], None]) -> Pool:
    """Return the pool of the engine's workers. Raise EngineFailure if a device asked for is missing."""
    devices = worker_devices(settings, engine.provider)
    start_timeout_s = settings.worker_start_timeout_s or engine.provider.start_timeout_s
    return Pool(devices, WorkerCommand(engine.worker_arguments, start_timeout_s), on_step=on_step)


def worker_devices(settings: Settings, provider: EngineProvider) -> list[Device]:
    """Return the devices that get a worker. Raise EngineFailure if one asked for is missing."""
    return choose_devices(
        mode=settings.gpu_mode,
        wanted=settings.gpu_ids,
        gpus=visible_gpus() if provider.uses_gpus else None,
        max_workers=settings.max_workers,
        cpu_workers=min(provider.cpu_workers, os.cpu_count() or 1),
    )
