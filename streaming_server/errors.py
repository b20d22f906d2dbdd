"""Every error the server reports, as one tree.

    SpeechError                          code               HTTP  close
    ├── BadRequest                       bad_request         400   1008
    │   ├── BadMessage                   bad_message         400   1008
    │   ├── BadValue                     bad_value           422   1008
    │   │   └── UnsupportedLanguage      unsupported_language 422  1008
    │   ├── UnknownVoice                 unknown_voice       404   1008
    │   ├── UnknownContext               unknown_context     404   1008
    │   ├── UnknownVoiceSample           unknown_prompt      404   1008
    │   ├── UnknownJob                   unknown_job         404   1008
    │   ├── UnknownEntry                 unknown_entry       404   1008
    │   ├── NotReady                     not_ready           425   1008
    │   ├── DuplicateContext             duplicate_context   409   1008
    │   ├── InUse                        in_use              409   1008
    │   ├── BadAudio                     bad_audio           415   1008
    │   └── TooLarge                     too_large           413   1009
    ├── Unauthorized                     unauthorized        401   1008
    ├── Forbidden                        forbidden           403   1008
    ├── RateLimited                      rate_limited        429   1008
    ├── TooSlow                          too_slow            408   1008
    ├── Unavailable                      unavailable         503   1013
    │   ├── Full                         full                503   1013
    │   ├── Draining                     draining            503   1012
    │   ├── VoiceUnavailable             voice_unavailable   503   1013
    │   └── WorkerLost                   worker_lost         503   1011
    ├── StorageFailure                   storage_failure     507   1011
    │   └── StoreUnavailable             store_unavailable   503   1013
    ├── EngineFailure                    engine_failure      500   1011
    └── InternalError                    internal            500   1011
        └── ProtocolError                internal            500   1011

A message tells the client what was wrong and what to do. It never contains text, keys or paths.
"""

from __future__ import annotations

from typing import ClassVar


class SpeechError(Exception):
    """Base of the tree. `retryable` says whether the same request may succeed later.

    field: the field at fault, with which the message then starts. context: the client's name for the context
        that ends with this error, if any.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    close_code: ClassVar[int] = 1011
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None) -> None:
        self.message = f"{field}: {message}" if field is not None else message
        super().__init__(self.message)
        self.field = field
        self.context: str | None = None


class BadRequest(SpeechError):
    code = "bad_request"
    http_status = 400
    close_code = 1008


class BadMessage(BadRequest):
    code = "bad_message"


class BadValue(BadRequest):
    code = "bad_value"
    http_status = 422


class UnsupportedLanguage(BadValue):
    """Nothing of a text is in a language that the engine speaks."""

    code = "unsupported_language"


class UnknownVoice(BadRequest):
    code = "unknown_voice"
    http_status = 404


class UnknownContext(BadRequest):
    code = "unknown_context"
    http_status = 404


class UnknownVoiceSample(BadRequest):
    code = "unknown_prompt"
    http_status = 404


class UnknownJob(BadRequest):
    code = "unknown_job"
    http_status = 404


class UnknownEntry(BadRequest):
    code = "unknown_entry"
    http_status = 404


class NotReady(BadRequest):
    code = "not_ready"
    http_status = 425
    retryable = True


class DuplicateContext(BadRequest):
    code = "duplicate_context"
    http_status = 409


class InUse(BadRequest):
    code = "in_use"
    http_status = 409


class BadAudio(BadRequest):
    code = "bad_audio"
    http_status = 415


class TooLarge(BadRequest):
    code = "too_large"
    http_status = 413
    close_code = 1009


class Unauthorized(SpeechError):
    code = "unauthorized"
    http_status = 401
    close_code = 1008


class Forbidden(SpeechError):
    code = "forbidden"
    http_status = 403
    close_code = 1008


class RateLimited(SpeechError):
    code = "rate_limited"
    http_status = 429
    close_code = 1008
    retryable = True


class TooSlow(SpeechError):
    code = "too_slow"
    http_status = 408
    close_code = 1008
    retryable = True


class Unavailable(SpeechError):
    code = "unavailable"
    http_status = 503
    close_code = 1013
    retryable = True


class Full(Unavailable):
    code = "full"


class Draining(Unavailable):
    code = "draining"
    close_code = 1012


class VoiceUnavailable(Unavailable):
    """The file of a voice could not be fetched."""

    code = "voice_unavailable"


class WorkerLost(Unavailable):
    code = "worker_lost"
    close_code = 1011


class StorageFailure(SpeechError):
    code = "storage_failure"
    http_status = 507
    retryable = True


class StoreUnavailable(StorageFailure):
    """The database or the object store cannot be reached at the moment."""

    code = "store_unavailable"
    http_status = 503
    close_code = 1013


class EngineFailure(SpeechError):
    code = "engine_failure"


class InternalError(SpeechError):
    code = "internal"


class ProtocolError(InternalError):
    """Malformed data on the pipe between the server and a worker; the pipe is unusable afterwards.

    The server terminates and restarts such a worker; a worker exits. No client sees it.
    """


def error_of(code: str) -> type[SpeechError]:
    """Return the class for the code of an error from another process; InternalError for an unknown code."""
    known: list[type[SpeechError]] = [SpeechError]
    for error in known:
        if error.code == code and error is not SpeechError:
            return error
        known += error.__subclasses__()
    return InternalError
