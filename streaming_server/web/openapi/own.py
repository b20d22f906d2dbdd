"""The server's own routes."""

from __future__ import annotations

from streaming_server.configuration import ServerConfig
from streaming_server.errors import (
    BadAudio,
    BadMessage,
    BadValue,
    EngineFailure,
    Forbidden,
    Full,
    InUse,
    NotReady,
    TooLarge,
    TooSlow,
    UnknownEntry,
    UnknownJob,
    UnknownVoice,
    UnknownVoiceSample,
)
from streaming_server.storage.jobs import JOB_STATUSES
from streaming_server.transcription.transcript import BELIEF
from streaming_server.voice_samples.ingest import VOICE_SAMPLE_FORMATS
from streaming_server.web.openapi.schemas import job_fields, whisper_fields
from streaming_server.web.openapi.words import (
    BYTES,
    NUMBER,
    SPOKEN,
    STORED,
    TEXT,
    WHOLE,
    YES_OR_NO,
    Paths,
    Schema,
    a_list,
    an_object,
    answer,
    by_id,
    in_query,
    json_answer,
    kept_answer,
    one_of,
    operation,
    or_null,
    ref,
    sound_answer,
    taken_by,
    takes,
)
from streaming_server.web.rest import generate_request, voices
from streaming_server.web.rest.discovery import Discovery
from streaming_server.web.rest.intake import LONGEST_TRANSCRIPT
from streaming_server.web.rest.transcripts import NewTranscript

LIMIT = in_query(
    "limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}, "How many to give at most."
)


def speech_routes() -> Paths:
    queued = an_object(
        {"job_id": TEXT, "status": TEXT, "message": TEXT, "status_url": TEXT, "result_url": TEXT}
    )
    job = in_query("async_mode", YES_OR_NO, "Make a job of it, for a text of any length, and answer at once.")
    text = taken_by(generate_request.GenerateRequest)
    about = (
        "The sound while it is made; its length is not known beforehand, so a WAV's header says 4 GiB. With "
        "`async_mode` the job that will speak it."
    )
    made = sound_answer(about=about)
    made["200"]["content"] |= {"application/json": {"schema": queued}}
    return {
        "/generate": {
            "post": operation(
                "speech",
                "Speak a text",
                made,
                body=takes(text),
                query=[job],
                errors=(*SPOKEN, *STORED),
            )
        },
        "/api/tts/generate": {
            "post": operation(
                "speech",
                "Speak a text, with nothing to choose but the voice",
                sound_answer("audio/wav"),
                body=takes(taken_by(generate_request.PlainRequest)),
                errors=SPOKEN,
            )
        },
        "/preview/{voice_id}": {
            "get": operation(
                "speech",
                "Hear a voice introduce itself",
                kept_answer("audio/wav"),
                errors=(UnknownVoice, Full, EngineFailure, *STORED),
            )
        },
        "/models": {
            "get": operation(
                "speech",
                "What speaks",
                json_answer(
                    an_object({"models": a_list(an_object({"id": TEXT, "name": TEXT, "description": TEXT}))})
                ),
                errors=(Full, EngineFailure),
            )
        },
    }


def voices_routes() -> Paths:
    changed = an_object(
        {"message": TEXT, "voice_config": ref("VoiceConfiguration"), "warnings": a_list(TEXT)}
    )
    wrong = (BadMessage, BadValue, TooLarge, UnknownVoiceSample, *STORED)
    return {
        "/voices": {
            "get": operation("voices", "The voices", json_answer(an_object({"voices": a_list(ref("Voice"))})))
        },
        "/api/tts/speakers": {"get": operation("voices", "The voices' ids", json_answer(a_list(TEXT)))},
        "/voice_mappings": {
            "get": operation(
                "voices", "The voices' configurations, by id", json_answer(by_id(ref("VoiceConfiguration")))
            ),
            "post": operation(
                "voices",
                "Make a voice, or put another in place of one",
                json_answer(changed, "The voice, from the next text on."),
                body=takes(taken_by(voices.NewVoice)),
                errors=wrong,
            ),
        },
        "/voice_mappings/{voice_id}": {
            "put": operation(
                "voices",
                "Change some fields of a voice; null clears one",
                json_answer(changed, "The voice, from the next text on."),
                body=takes(taken_by(voices.VoiceFields)),
                errors=(*wrong, UnknownVoice),
            ),
            "delete": operation(
                "voices",
                "Delete a voice; one that comes with the server is then as it came",
                json_answer(ref("Message")),
                errors=(UnknownVoice, Forbidden, *STORED),
            ),
        },
    }


def samples_routes() -> Paths:
    return _stored_samples() | _transcripts()


def _stored_samples() -> Paths:
    form = an_object(
        {"prompt_id": {"type": "string", "minLength": 1, "maxLength": 64}, "audio_file": BYTES},
        transcript={"type": "string", "maxLength": LONGEST_TRANSCRIPT},
    )
    stored = {
        "message": TEXT,
        "prompt_id": TEXT,
        "duration": NUMBER,
        "sample_rate": WHOLE,
        "original_sample_rate": WHOLE,
        "original_format": one_of(VOICE_SAMPLE_FORMATS),
        "channels": WHOLE,
        "warnings": a_list(TEXT),
        "waveform": a_list(WHOLE),
        "transcript": or_null(TEXT),
        "transcribing": YES_OR_NO,
    }
    force = in_query("force", YES_OR_NO, "Take it from the voices that use it.")
    return {
        "/audio_prompts/upload": {
            "post": operation(
                "samples",
                "Store a sample, 0.5 to 60 s; 5 to 10 s are best",
                json_answer(an_object(stored), "The sample, ready to be used."),
                body=takes(form, kind="multipart/form-data"),
                errors=(BadMessage, BadValue, BadAudio, TooLarge, TooSlow, Full, *STORED),
            )
        },
        "/audio_prompts": {
            "get": operation("samples", "The samples, by id", json_answer(by_id(ref("Sample")))),
        },
        "/audio_prompts/{prompt_id}": {
            "delete": operation(
                "samples",
                "Delete a sample that no voice uses",
                json_answer(ref("Message")),
                query=[force],
                errors=(UnknownVoiceSample, InUse, BadValue, *STORED),
            )
        },
        "/audio_prompts/{prompt_id}/audio": {
            "get": operation(
                "samples", "Hear a sample", sound_answer("audio/wav"), errors=(UnknownVoiceSample,)
            )
        },
        "/audio_prompts/metadata": {
            "get": operation(
                "samples", "All that is known of the samples", json_answer(by_id(ref("SampleMetadata")))
            )
        },
        "/audio_prompts/metadata/{prompt_id}": {
            "get": operation(
                "samples",
                "All that is known of a sample",
                json_answer(ref("SampleMetadata")),
                errors=(UnknownVoiceSample,),
            )
        },
        "/audio_prompts/discover": {
            "post": operation(
                "samples",
                "Take in the directory of samples, each with the text beside it",
                json_answer(
                    an_object(
                        {
                            "message": TEXT,
                            "total_prompts": WHOLE,
                            "discovered": a_list(TEXT),
                            "refused": by_id(TEXT),
                        }
                    )
                ),
                body=takes(taken_by(Discovery), required=False),
                errors=(BadMessage, BadValue, TooLarge, *STORED),
            )
        },
    }


def _transcripts() -> Paths:
    heard = {
        "prompt_id": TEXT,
        "transcript": TEXT,
        "transcript_source": one_of(BELIEF),
        "heard": TEXT,
        "replaced": YES_OR_NO,
        "language": or_null(TEXT),
        "language_probability": or_null(NUMBER),
        "warnings": a_list(TEXT),
        "saved_to": TEXT,
        "updated_voices": a_list(TEXT),
    }
    written = {
        "message": TEXT,
        "prompt_id": TEXT,
        "transcript": TEXT,
        "warnings": a_list(TEXT),
        "updated_voices": a_list(TEXT),
    }
    return {
        "/audio_prompts/{prompt_id}/transcript": {
            "put": operation(
                "samples",
                "Write down what is said in a sample",
                json_answer(an_object(written)),
                body=takes(taken_by(NewTranscript)),
                errors=(BadMessage, BadValue, TooLarge, UnknownVoiceSample, *STORED),
            )
        },
        "/audio_prompts/{prompt_id}/transcribe": {
            "post": operation(
                "samples",
                "Have Whisper listen to a sample",
                json_answer(an_object(heard), "What it heard, and whether that is the transcript now."),
                query=[in_query("force", YES_OR_NO, "Even in place of what a person wrote.")],
                errors=(UnknownVoiceSample, BadValue, BadAudio, Full, *STORED),
            )
        },
        "/whisper/status": {
            "get": operation(
                "samples",
                "How Whisper is",
                json_answer(an_object({**whisper_fields(), "auto_transcribe": YES_OR_NO})),
            )
        },
        "/whisper/load": {
            "post": operation(
                "samples",
                "Load Whisper now",
                json_answer(an_object({"message": TEXT, **whisper_fields()}), "It is loaded."),
                errors=(Full,),
            )
        },
    }


def jobs_routes() -> Paths:
    status = in_query("status", one_of(JOB_STATUSES), "Only those of this status.")
    told = an_object({"message": TEXT, **job_fields()})
    removed = an_object({"message": TEXT, "removed": WHOLE})
    return {
        "/jobs": {
            "get": operation(
                "jobs",
                "The jobs, newest first",
                json_answer(an_object({"jobs": a_list(ref("Job"))})),
                query=[status, LIMIT],
                errors=(BadValue,),
            ),
            "delete": operation(
                "jobs",
                "Remove the jobs that are over, and their results",
                json_answer(removed),
                errors=STORED,
            ),
        },
        "/jobs/{job_id}": {
            "get": operation("jobs", "How far a job is", json_answer(ref("Job")), errors=(UnknownJob,)),
            "delete": operation(
                "jobs",
                "Stop a job, waiting or running",
                json_answer(told),
                errors=(UnknownJob, InUse, *STORED),
            ),
        },
        "/jobs/{job_id}/result": {
            "get": operation(
                "jobs",
                "The sound of a job; of one that failed, its error",
                kept_answer(about="The whole sound."),
                json_answer(ref("Error"), "cancelled, interrupted", 409),
                json_answer(ref("Error"), "The job failed; the code is its error's.", 500),
                errors=(UnknownJob, NotReady),
            )
        },
        "/jobs/{job_id}/retry": {
            "post": operation(
                "jobs",
                "Try a job again that was interrupted, failed or cancelled",
                json_answer(told, "It waits to be spoken.", 202),
                errors=(UnknownJob, InUse, *STORED),
            )
        },
    }


def operator_routes() -> Paths:
    voice = in_query("voice", TEXT, "Only what this voice spoke.")
    logs = an_object({"logs": a_list(ref("JournalEntry")), "total": WHOLE, "filtered": WHOLE})
    return {
        "/config": {
            "get": operation("operator", "The configuration", json_answer(ref("Configuration"))),
            "put": operation(
                "operator",
                "Put another configuration, which outlives the server; what is left out is the default",
                json_answer(ref("Configuration")),
                body=takes(taken_by(ServerConfig)),
                errors=(BadMessage, BadValue, TooLarge, *STORED),
            ),
        },
        "/cleanup": {
            "post": operation(
                "operator",
                "Remove now what would be removed in time",
                json_answer(an_object({"message": TEXT, "removed": WHOLE, "failed": by_id(TEXT)})),
                errors=STORED,
            )
        },
        "/logs": {
            "get": operation(
                "operator",
                "What was spoken, newest first, in debug mode only",
                json_answer(logs),
                query=[LIMIT, voice],
                errors=(BadValue,),
            ),
            "delete": operation(
                "operator",
                "Delete every entry and the files kept",
                json_answer(ref("Message")),
                errors=STORED,
            ),
        },
        "/logs/{entry_id}": {
            "get": operation(
                "operator",
                "One entry of the journal",
                json_answer(ref("JournalEntry")),
                errors=(UnknownEntry,),
            ),
            "delete": operation(
                "operator",
                "Delete an entry and its file",
                json_answer(ref("Message")),
                errors=(UnknownEntry, *STORED),
            ),
        },
        "/logs/{entry_id}/download": {
            "get": operation("operator", "The file kept of an entry", sound_answer(), errors=(UnknownEntry,))
        },
    }


def state_routes() -> Paths:
    state = an_object({"status": TEXT})
    health = {"status": one_of(("healthy", "unhealthy")), "model_loaded": YES_OR_NO, "timestamp": NUMBER}
    unready = json_answer(state, "Not ready yet, or about to stop.", 503)
    here = {"application/json": an_object({"message": TEXT, "status": TEXT}), "text/html": TEXT}
    return {
        "/": {"get": operation("state", "The page", answer("It is up.", here), keyed=False)},
        "/livez": {"get": operation("state", "Whether it runs", json_answer(state), keyed=False)},
        "/readyz": {"get": operation("state", "Whether it speaks", json_answer(state), unready, keyed=False)},
        "/health": {"get": operation("state", "How it is", json_answer(an_object(health)), keyed=False)},
        "/queue/stats": {"get": operation("state", "Work in hand", json_answer(_queue_stats()))},
        "/gpu/status": {"get": operation("state", "The devices", json_answer(_gpu_status()))},
        "/metrics": {"get": operation("state", "For Prometheus", answer("Metrics.", {"text/plain": TEXT}))},
        "/openapi.json": {
            "get": operation("state", "This description", json_answer({"type": "object"}), keyed=False)
        },
        "/docs": {
            "get": operation(
                "state", "This description, to be read", answer("A page.", {"text/html": TEXT}), keyed=False
            )
        },
    }


def _queue_stats() -> Schema:
    counts = (
        "total_workers active_workers active queued slots contexts connections"
        " pending_jobs processing_jobs completed_jobs failed_jobs"
    )
    pressure = an_object({"pressure": NUMBER, "status": TEXT})
    return an_object(
        {
            **dict.fromkeys(counts.split(), WHOLE),
            "first_audio_ms": ref("FirstAudio"),
            "memory_pressure": by_id(pressure),
        }
    )


def _gpu_status() -> Schema:
    memory = an_object({"allocated": WHOLE, "reserved": WHOLE, "total": WHOLE, "free_gb": NUMBER})
    return an_object(
        {
            "gpu_mode": TEXT,
            "gpu_count": WHOLE,
            "allowed_gpus": a_list(WHOLE),
            "use_multi_gpu": YES_OR_NO,
            "models_loaded": WHOLE,
            "gpu_memory": by_id(memory),
            "devices": a_list(ref("Device")),
        }
    )
