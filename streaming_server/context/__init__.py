"""One turn of speech: text is appended, audio, sentences, words and exactly one end come out."""

from streaming_server.context.context import SpeechContext, text_too_long
from streaming_server.context.outputs import (
    Cancelled,
    ContextMetrics,
    Done,
    End,
    Failure,
    Flushed,
    Output,
    SentenceStart,
    Speech,
    UtteranceEnd,
    WordTime,
    WordTimes,
    failure_of,
)
from streaming_server.context.part import Part

__all__ = [
    "Cancelled",
    "ContextMetrics",
    "Done",
    "End",
    "Failure",
    "Flushed",
    "Output",
    "Part",
    "SentenceStart",
    "Speech",
    "SpeechContext",
    "UtteranceEnd",
    "WordTime",
    "WordTimes",
    "failure_of",
    "text_too_long",
]
