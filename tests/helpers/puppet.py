"""A worker without an engine: speaks the pipe's protocol and writes every message it receives to a file.

`python puppet.py --fd N --parent N --notes FILE --used 90,99`: FILE gets a line for every message. The memory
readings, in percent, are all sent after the first ping; the last one is sent again after each later ping.
It fails `--failures` utterances, then speaks `--utterances` utterances, the last of them without an end if
`--unfinished`, and then only answers pings. With `--garbage TEXT` it answers the first
ping with a frame whose header is TEXT.
"""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from streaming_server.ipc.framing import FrameReader, pack
from streaming_server.ipc.messages import (
    Batch,
    Memory,
    Ping,
    Pong,
    Prepare,
    Ready,
    Request,
    Submit,
    decode_request,
    encode,
)
from streaming_server.types import Audio, ChunkPolicy, EngineInfo, Failed, Finished, MemoryReport

INFO = EngineInfo("puppet", 22050, 4, True, ("en",), ChunkPolicy(0, 1, 400, 0.0), frozenset())


def note_of(message: Request) -> str:
    name = type(message).__name__
    return f"{name} {message.voice.id}" if isinstance(message, Prepare) else name


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int)
    parser.add_argument("--parent")
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--used", default="10")
    parser.add_argument("--utterances", type=int, default=1 << 30)
    parser.add_argument("--failures", type=int, default=0)
    parser.add_argument("--unfinished", action="store_true")
    parser.add_argument("--garbage")
    options = parser.parse_args()
    readings = [int(used) for used in options.used.split(",")]
    link = socket.socket(fileno=options.fd)
    link.sendall(encode(Ready(INFO, "Puppet")))
    frames = FrameReader()
    while data := link.recv(65536):
        for frame in frames.feed(data):
            message = decode_request(frame)
            with options.notes.open("a") as notes:
                print(note_of(message), file=notes)
            match message:
                case Submit(utterance) if options.failures:
                    options.failures -= 1
                    failure = Failed(utterance.id, "engine_failure", "out of memory", retryable=True)
                    link.sendall(encode(Batch((failure,), 0.0)))
                case Submit(utterance) if options.utterances:
                    options.utterances -= 1
                    spoken = (Audio(utterance.id, b"\1\0" * 100), Finished(utterance.id, 0.0))
                    unfinished = options.unfinished and not options.utterances
                    link.sendall(encode(Batch(spoken[:1] if unfinished else spoken, 0.0)))
                case Ping() if options.garbage is not None:
                    link.sendall(pack(options.garbage.encode()))
                case Ping():
                    link.sendall(encode(Pong()))
                    for used in readings:
                        link.sendall(encode(Memory(MemoryReport(used, 100))))
                    del readings[:-1]


main()
