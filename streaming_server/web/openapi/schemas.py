"""What the routes answer with."""

from __future__ import annotations

from streaming_server.audio.formats import AUDIO_FORMATS
from streaming_server.configuration import ServerConfig
from streaming_server.storage.jobs import JOB_STATUSES
from streaming_server.transcription.transcript import BELIEF, SENTENCES
from streaming_server.voice_samples.ingest import VOICE_SAMPLE_FORMATS
from streaming_server.web.openapi.words import (
    NUMBER,
    TEXT,
    WHOLE,
    YES_OR_NO,
    Schema,
    a_list,
    an_object,
    one_of,
    or_null,
    taken_by,
)


def components() -> dict[str, Schema]:
    wrong = an_object({"code": TEXT, "message": TEXT})
    return {
        "Error": an_object({"error": wrong, "detail": TEXT}),
        "Message": an_object({"message": TEXT}),
        "Voice": _voice(),
        "VoiceConfiguration": _voice_configuration(),
        "Job": an_object(job_fields()),
        "Sample": _sample(),
        "SampleMetadata": _sample_metadata(),
        "Whisper": an_object(whisper_fields()),
        "Configuration": taken_by(ServerConfig) | {"required": list(ServerConfig.model_fields)},
        "JournalEntry": _journal_entry(),
        "Device": _device(),
        "FirstAudio": an_object(dict.fromkeys(("p50", "p95", "p99"), NUMBER)),
    }


def _voice() -> Schema:
    return an_object(
        {
            "id": TEXT,
            "name": TEXT,
            "style": TEXT,
            "primary_speaker": one_of(("S1", "S2")),
            "has_audio_prompt": YES_OR_NO,
            "preview_url": TEXT,
            "builtin": YES_OR_NO,
            "audio_prompt": or_null(TEXT),
            "sample_heard": YES_OR_NO | {"description": "Whether the running engine clones it."},
            "warnings": a_list(TEXT),
        }
    )


def _voice_configuration() -> Schema:
    return an_object(
        {
            "voice_id": TEXT,
            "name": TEXT,
            "style": TEXT,
            "primary_speaker": one_of(("S1", "S2")),
            "audio_prompt": or_null(TEXT),
            "audio_prompt_transcript": or_null(TEXT),
            "builtin": YES_OR_NO,
            "temperature": or_null(NUMBER),
            "cfg_scale": or_null(NUMBER),
            "top_p": or_null(NUMBER),
            "seed": or_null(WHOLE),
            "speed": or_null(NUMBER),
        }
    )


def job_fields() -> dict[str, Schema]:
    return {
        "id": TEXT,
        "status": one_of(JOB_STATUSES),
        "voice_id": TEXT,
        "response_format": one_of(AUDIO_FORMATS),
        "created_at": NUMBER,
        "started_at": or_null(NUMBER),
        "completed_at": or_null(NUMBER),
        "progress": an_object({"utterances": WHOLE, "audio_s": NUMBER}),
        "error": or_null(an_object({"code": TEXT, "message": TEXT})),
        "error_message": or_null(TEXT),
        "result_url": or_null(TEXT),
    }


def _sample() -> Schema:
    return an_object(
        {"file_path": TEXT, "duration": NUMBER, "sample_rate": WHOLE, "exists": YES_OR_NO}, error=TEXT
    )


def _sample_metadata() -> Schema:
    return an_object(
        {
            "prompt_id": TEXT,
            "file_path": TEXT,
            "duration": NUMBER,
            "sample_rate": WHOLE,
            "original_format": one_of(VOICE_SAMPLE_FORMATS),
            "original_sample_rate": WHOLE,
            "channels": WHOLE,
            "transcript": or_null(TEXT),
            "transcript_source": or_null(one_of(BELIEF)),
            "transcript_findings": a_list(TEXT)
            | {
                "description": "Why the transcript is not believed, one of "
                + ", ".join(SENTENCES)
                + "; or, in a sentence, why there is none."
            },
            "language": or_null(TEXT),
            "language_probability": or_null(NUMBER),
            "warnings": a_list(TEXT),
            "waveform": a_list({"type": "integer", "minimum": 0, "maximum": 100}),
            "hash": TEXT,
            "discovered_at": {"type": "string", "format": "date-time"},
            "exists": YES_OR_NO,
        }
    )


def whisper_fields() -> dict[str, Schema]:
    return {
        "available": YES_OR_NO,
        "model_loaded": YES_OR_NO,
        "model_size": TEXT,
        "device": or_null(TEXT),
        "state": one_of(("off", "loading", "ready", "failed")),
        "busy": YES_OR_NO,
        "waiting": WHOLE,
        "reason": or_null(TEXT),
    }


def _journal_entry() -> Schema:
    return an_object(
        {
            "id": TEXT,
            "timestamp": NUMBER,
            "text": TEXT,
            "processed_text": TEXT,
            "voice": TEXT,
            "audio_prompt_used": or_null(TEXT),
            "generation_time": NUMBER,
            "audio_s": NUMBER,
            "file_path": or_null(TEXT),
            "file_size": or_null(WHOLE),
        }
    )


def _device() -> Schema:
    worker = {
        "state": TEXT,
        "pid": or_null(WHOLE),
        "restarts": WHOLE,
        "active": WHOLE,
        "queued": WHOLE,
        "slots": WHOLE,
    }
    memory = {"used": WHOLE, "total": WHOLE, "pressure": NUMBER, "level": TEXT}
    return an_object({"id": TEXT, "name": TEXT, "worker": an_object(worker), "memory": an_object(memory)})
