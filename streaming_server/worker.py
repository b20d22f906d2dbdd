"""A worker: one child process that owns one device and drives one engine.

Started by the pool as `python -m streaming_server.worker --fd N …`. All messages go over that socket; the
process exits when the socket closes.
"""

from __future__ import annotations

import argparse
import json
import logging
import select
import socket
import sys
import time
from contextlib import suppress
from pkgutil import resolve_name

from streaming_server.engines.base import Engine
from streaming_server.engines.provider import EngineProvider
from streaming_server.errors import EngineFailure, ProtocolError, SpeechError
from streaming_server.ipc.framing import FrameReader
from streaming_server.ipc.messages import (
    Batch,
    Cancel,
    Fatal,
    Memory,
    Ping,
    Pong,
    Prepare,
    Ready,
    Release,
    Relieve,
    Request,
    Shutdown,
    Submit,
    Taken,
    decode_request,
    encode,
)
from streaming_server.ipc.parent import end_with_parent, ignore_signals
from streaming_server.log_writer import LogWriter, standard_error

MEMORY_INTERVAL_S = 1.0

log = logging.getLogger(__name__)


class Worker:
    """The loop between a socket and an engine."""

    def __init__(self, link: socket.socket, engine: Engine) -> None:
        self._link = link
        self._engine = engine
        self._frames = FrameReader()
        self._inbox = select.poll()
        self._inbox.register(link, select.POLLIN)
        self._report_memory_at = 0.0
        self._open = True

    def run(self) -> None:
        """Serve until `Shutdown` or the socket is closed. Raise ProtocolError."""
        while self._open:
            self._report_memory()
            self._receive()
            if self._engine.active:
                self._step()

    def _receive(self) -> None:
        """Handle the requests that have arrived; wait for one if there is nothing to speak."""
        idle_s = 0.0 if self._engine.active else max(0.0, self._report_memory_at - time.monotonic())
        if not self._inbox.poll(idle_s * 1000):
            return
        data = self._link.recv(65536)
        if not data:
            self._open = False
        for frame in self._frames.feed(data):
            self._handle(decode_request(frame))

    def _handle(self, request: Request) -> None:
        match request:
            case Submit(utterance):
                self._engine.submit(utterance)
            case Cancel(utterance_id):
                self._engine.cancel(utterance_id)
            case Release(context):
                self._engine.release(context)
            case Taken(utterance_id, size):
                self._engine.taken(utterance_id, size)
            case Prepare(voice):
                self._engine.prepare(voice)
            case Relieve():
                self._engine.relieve()
            case Ping():
                self._link.sendall(encode(Pong()))
            case Shutdown():
                self._open = False

    def _step(self) -> None:
        started = time.perf_counter()
        events = self._engine.step()
        if events:
            self._link.sendall(encode(Batch(tuple(events), time.perf_counter() - started)))

    def _report_memory(self) -> None:
        now = time.monotonic()
        if now >= self._report_memory_at:
            self._report_memory_at = now + MEMORY_INTERVAL_S
            self._link.sendall(encode(Memory(self._engine.memory())))


def create_engine(reference: str, settings: str) -> Engine:
    """Import the provider and create its engine with the settings, a JSON object. Raise EngineFailure."""
    provider: EngineProvider = resolve_name(reference)
    try:
        return provider.create(provider.settings(**json.loads(settings)))
    except SpeechError:
        raise
    except ImportError as error:
        raise EngineFailure(f"Engine {provider.name} cannot be imported: {error}.") from error
    except Exception as error:  # An engine may be third-party code.
        log.exception("engine could not start")
        reason = f"{type(error).__name__}: {error}"
        raise EngineFailure(f"Engine {provider.name} could not start: {reason}.") from error


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the worker's command line, which the server writes."""
    parser = argparse.ArgumentParser(prog="streaming_server.worker", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket to the server")
    parser.add_argument("--parent", type=int, required=True, help="the server's process id")
    parser.add_argument("--engine", required=True, help="the engine's provider, as package.module:object")
    parser.add_argument("--settings", default="{}", help="the engine's settings, as a JSON object")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    ignore_signals()
    end_with_parent(options.parent)
    logging.getLogger().addHandler(LogWriter(logging.StreamHandler(standard_error())))
    link = socket.socket(fileno=options.fd)
    try:
        engine = create_engine(options.engine, options.settings)
    except SpeechError as error:
        link.sendall(encode(Fatal(error.code, error.message)))
        return 1
    try:
        link.sendall(encode(Ready(engine.info, engine.device_name)))
        Worker(link, engine).run()
    except (BrokenPipeError, ConnectionResetError):
        return 0
    except ProtocolError as error:
        log.error("worker exits: %s", error.message)  # The server that sent it may not understand a report.
        return 1
    except SpeechError as error:
        link.sendall(encode(Fatal(error.code, error.message)))
        return 1
    except Exception as error:  # As above.
        log.exception("engine failed")
        reason = f"Engine {engine.info.name} failed: {type(error).__name__}."
        with suppress(OSError):
            link.sendall(encode(Fatal(EngineFailure.code, reason)))
        return 1
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
