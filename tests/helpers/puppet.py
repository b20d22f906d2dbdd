"""A worker without an engine: speaks the pipe's protocol, sends the readings it is given, notes all it hears.

`python puppet.py --fd N --parent N --notes FILE --used 90,99`: FILE gets a line for every message; the
readings, in percent, go out at once when it has been pinged, the last of them again with each later ping.
It speaks `--utterances`, and then only answers pings.
"""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from streaming_server.ipc.messages import (
    Batch,
    Decoder,
    Memory,
    Message,
    Ping,
    Pong,
    Prepare,
    Ready,
    Submit,
    encode,
)
from streaming_server.types import Audio, ChunkPolicy, EngineInfo, Finished, MemoryReport

INFO = EngineInfo("puppet", 22050, 4, True, ("en",), ChunkPolicy(0, 1, 400, 0.0), frozenset())


def note_of(message: Message) -> str:
    name = type(message).__name__
    return f"{name} {message.voice.id}" if isinstance(message, Prepare) else name


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int)
    parser.add_argument("--parent")
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--used", default="10")
    parser.add_argument("--utterances", type=int, default=1 << 30)
    options = parser.parse_args()
    readings = [int(used) for used in options.used.split(",")]
    link = socket.socket(fileno=options.fd)
    link.sendall(encode(Ready(INFO, "Puppet")))
    decoder = Decoder()
    while data := link.recv(65536):
        for message in decoder.feed(data):
            with options.notes.open("a") as notes:
                print(note_of(message), file=notes)
            match message:
                case Submit(utterance) if options.utterances:
                    options.utterances -= 1
                    spoken = (Audio(utterance.id, b"\1\0" * 100), Finished(utterance.id, 0.0))
                    link.sendall(encode(Batch(spoken, 0.0)))
                case Ping():
                    link.sendall(encode(Pong()))
                    for used in readings:
                        link.sendall(encode(Memory(MemoryReport(used, 100))))
                    del readings[:-1]


main()
