"""The routes of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from anyio import to_thread
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.audio.formats import AudioFormat, content_type
from streaming_server.errors import (
    BadValue,
    InternalError,
    InUse,
    NotReady,
    StorageFailure,
    UnknownJob,
    error_of,
)
from streaming_server.jobs.queue import JobQueue
from streaming_server.storage.job_records import Job, JobStatus
from streaming_server.web.keyed import admin_keyed, keyed
from streaming_server.web.openapi.operation import operation
from streaming_server.web.requests import DEFAULT_LISTED, Limit
from streaming_server.web.responses import Error, ErrorDetail, Json, error_json
from streaming_server.web.services import job_services
from streaming_server.web.sound_file import SoundFile
from streaming_server.web.validation import validated_query


class JobListQuery(BaseModel):
    status: JobStatus | Literal[""] = Field("", description="Only jobs of this status; empty is all.")
    limit: Limit = DEFAULT_LISTED


class JobProgress(TypedDict):
    utterances: int
    audio_s: float


class JobState(TypedDict):
    id: str
    status: JobStatus
    voice_id: str
    response_format: AudioFormat
    created_at: float
    started_at: float | None
    completed_at: float | None
    progress: JobProgress
    error: ErrorDetail | None
    error_message: str | None
    result_url: str | None


class JobList(TypedDict):
    jobs: list[JobState]


class ChangedJob(JobState):
    message: str


class JobsRemoved(TypedDict):
    message: str
    removed: int


def routes() -> list[BaseRoute]:
    return [
        Route("/jobs", keyed(jobs), methods=["GET"]),
        Route("/jobs", admin_keyed(clear), methods=["DELETE"]),
        Route("/jobs/{job_id}", keyed(job), methods=["GET"]),
        Route("/jobs/{job_id}", admin_keyed(cancel), methods=["DELETE"]),
        Route("/jobs/{job_id}/result", keyed(result)),
        Route("/jobs/{job_id}/retry", keyed(retry), methods=["POST"]),
    ]


@operation(
    "jobs",
    "List the jobs, newest first",
    query=JobListQuery,
    errors=(BadValue,),
)
async def jobs(request: Request) -> Json[JobList]:
    services = job_services(request)
    query = validated_query(JobListQuery, request.query_params)
    found = await to_thread.run_sync(services.jobs.list, query.status or None, query.limit)
    return Json({"jobs": [to_json(services.queue, job) for job in found]})


@operation("jobs", "Get the state of a job", errors=(UnknownJob,))
async def job(request: Request) -> Json[JobState]:
    return Json(to_json(job_services(request).queue, await _job(request)))


@operation(
    "jobs",
    "Get the audio of a job, or the error of one that failed",
    errors=(UnknownJob, NotReady, StorageFailure),
    also={
        409: "cancelled, interrupted",
        422: "The job failed because of its request.",
        500: "The job failed; the code is that of its error.",
    },
)
async def result(request: Request) -> SoundFile | Json[Error]:
    found = await _job(request)
    match found.status:
        case "completed":
            file = await to_thread.run_sync(job_services(request).jobs.result, found)
            return _audio(found, file)
        case "pending" | "processing":
            raise NotReady("The job is not done yet; see /jobs/{id} for its progress.")
        case "failed":
            return _failure(found)
    message = f"The job was {found.status} and has no result; POST /jobs/{{id}}/retry to retry it."
    return error_json(found.status, message, 409)


def _audio(found: Job, file: Path) -> SoundFile:
    gone = UnknownJob("The result of this job has expired.")
    media_type = content_type(found.audio_format, 0).partition(";")[0]
    return SoundFile(file, gone=gone, media_type=media_type, filename=f"speech.{found.audio_format}")


def _failure(found: Job) -> Json[Error]:
    """Return the job's error as a response: its own status if the request was wrong, otherwise 500."""
    code = found.error_code or InternalError.code
    status = error_of(code).http_status
    status = status if status < InternalError.http_status else InternalError.http_status
    return error_json(code, found.error_message or "The job failed.", status)


@operation("jobs", "Cancel a job, waiting or running", errors=(UnknownJob, InUse, StorageFailure))
async def cancel(request: Request) -> Json[ChangedJob]:
    queue = job_services(request).queue
    cancelled = await queue.cancel(request.path_params["job_id"])
    return Json({"message": "The job was cancelled.", **to_json(queue, cancelled)})


@operation(
    "jobs",
    "Retry a job that was interrupted, failed or cancelled",
    status=202,
    errors=(UnknownJob, InUse, StorageFailure),
)
async def retry(request: Request) -> Json[ChangedJob]:
    queue = job_services(request).queue
    waiting = await queue.retry(request.path_params["job_id"])
    return Json({"message": "The job is waiting.", **to_json(queue, waiting)}, status_code=202)


@operation("jobs", "Remove finished jobs and their results", errors=(StorageFailure,))
async def clear(request: Request) -> Json[JobsRemoved]:
    removed = await to_thread.run_sync(job_services(request).jobs.clear)
    return Json({"message": f"{removed} jobs were removed.", "removed": removed})


def to_json(queue: JobQueue, job: Job) -> JobState:
    progress = queue.progress(job)
    error: ErrorDetail | None = None
    if job.error_code is not None:
        error = {"code": job.error_code, "message": job.error_message or ""}
    return {
        "id": job.id,
        "status": job.status,
        "voice_id": job.request.get("voice_id", ""),
        "response_format": job.audio_format,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.finished_at,
        "progress": {"utterances": progress["utterances"], "audio_s": progress["audio_s"]},
        "error": error,
        "error_message": job.error_message,
        "result_url": f"/jobs/{job.id}/result" if job.status == "completed" else None,
    }


async def _job(request: Request) -> Job:
    return await to_thread.run_sync(job_services(request).jobs.get, request.path_params["job_id"])
