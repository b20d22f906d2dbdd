"""Jobs over HTTP: what became of them, their results, and how to stop them."""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streaming_server.audio.formats import content_type
from streaming_server.errors import BadValue, InternalError, NotReady, UnknownJob
from streaming_server.storage.jobs import JOB_STATUSES, Job
from streaming_server.web.requests import keyed, limit_of
from streaming_server.web.responses import Json, error_json
from streaming_server.web.rest.sound_file import SoundFile
from streaming_server.web.services import Parts, parts_of


def routes() -> list[BaseRoute]:
    return [
        Route("/jobs", keyed(jobs), methods=["GET"]),
        Route("/jobs", keyed(clear), methods=["DELETE"]),
        Route("/jobs/{job_id}", keyed(job), methods=["GET"]),
        Route("/jobs/{job_id}", keyed(cancel), methods=["DELETE"]),
        Route("/jobs/{job_id}/result", keyed(result)),
        Route("/jobs/{job_id}/retry", keyed(retry), methods=["POST"]),
    ]


async def jobs(request: Request) -> Response:
    """The latest, newest first."""
    parts = parts_of(request)
    status = request.query_params.get("status")
    wanted = next((known for known in JOB_STATUSES if known == status), None)
    if status and wanted is None:
        raise BadValue(f"one of {', '.join(JOB_STATUSES)}.", field="status")
    found = await to_thread.run_sync(parts.jobs.list, wanted, limit_of(request))
    return Json({"jobs": [told(parts, job) for job in found]})


async def job(request: Request) -> Response:
    parts = parts_of(request)
    return Json(told(parts, await _job(request)))


async def result(request: Request) -> Response:
    """The sound, once it is whole; of a job that failed its error, as the server's own."""
    found = await _job(request)
    match found.status:
        case "completed":
            return _sound(found)
        case "pending" | "processing":
            raise NotReady("The job is not done yet; /jobs/{id} tells how far it is.")
        case "failed":
            message = found.error_message or "The job failed."
            return error_json(found.error_code or InternalError.code, message, InternalError.http_status)
    again = "POST /jobs/{id}/retry tries it again."
    return error_json(found.status, f"The job was {found.status} and has no result; {again}", 409)


def _sound(found: Job) -> Response:
    gone = UnknownJob("The result of this job has expired.")
    if found.file is None:
        raise gone
    audio_format = found.request.get("response_format", "wav")
    media_type = content_type(audio_format, 0).partition(";")[0]
    return SoundFile(found.file, gone=gone, media_type=media_type, filename=f"speech.{audio_format}")


async def cancel(request: Request) -> Response:
    """Stop a job, at any stage."""
    parts = parts_of(request)
    stopped = await parts.job_queue.cancel(request.path_params["job_id"])
    return Json({"message": "The job was cancelled.", **told(parts, stopped)})


async def retry(request: Request) -> Response:
    """Put a job that was interrupted, failed or cancelled back in the queue."""
    parts = parts_of(request)
    again = await parts.job_queue.retry(request.path_params["job_id"])
    return Json({"message": "The job waits to be spoken.", **told(parts, again)}, status_code=202)


async def clear(request: Request) -> Response:
    """Remove the jobs that are over, and their results."""
    removed = await to_thread.run_sync(parts_of(request).jobs.clear)
    return Json({"message": f"{removed} jobs were removed.", "removed": removed})


def told(parts: Parts, job: Job) -> dict[str, Any]:
    """A job, as clients are told of it."""
    progress = parts.job_queue.progress(job)
    failed = job.error_code is not None
    return {
        "id": job.id,
        "status": job.status,
        "voice_id": job.request.get("voice_id"),
        "response_format": job.request.get("response_format", "wav"),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.finished_at,
        "progress": progress,
        "error": {"code": job.error_code, "message": job.error_message} if failed else None,
        "error_message": job.error_message,
        "result_url": f"/jobs/{job.id}/result" if job.status == "completed" else None,
    }


async def _job(request: Request) -> Job:
    return await to_thread.run_sync(parts_of(request).jobs.get, request.path_params["job_id"])
