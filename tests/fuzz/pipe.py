"""Requests to a worker: valid ones in any order, mutated ones, and bytes that are none."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass

from fuzz.dice import Dice
from fuzz.target import PATIENCE_S, Finding
from streaming_server.engines.selection import select_engine
from streaming_server.errors import ProtocolError
from streaming_server.ipc.framing import FrameReader, pack
from streaming_server.ipc.messages import (
    Cancel,
    Ping,
    Pong,
    Prepare,
    Ready,
    Release,
    Relieve,
    Report,
    Request,
    Submit,
    Taken,
    decode_report,
    decode_request,
    encode,
)
from streaming_server.types import DEFAULT_VOICE, Generation, Utterance, Voice, VoiceSample

MALFORMED = 0.002
"""Share of malformed messages that are sent: each ends a worker, and the next takes a second to start."""

HALF_S = 2.0
"""Seconds to wait for a worker that may have been sent half a message."""

CLONED = Voice("me", "Me", "plain", "S2", VoiceSample("/nowhere/a.wav", "I am me."))


@dataclass(slots=True)
class WorkerProcess:
    """A worker and the server's end of its pipe."""

    process: subprocess.Popen[str]
    link: socket.socket
    frames: FrameReader

    @classmethod
    def start(cls, engine: str) -> WorkerProcess:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "streaming_server.worker", *select_engine(engine).worker_arguments]
        command += [f"--fd={theirs.fileno()}", f"--parent={os.getpid()}"]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
        theirs.close()
        ours.settimeout(PATIENCE_S)
        worker = cls(process, ours, FrameReader())
        worker.until(Ready)
        return worker

    def until(self, kind: type[Report], timeout_s: float = PATIENCE_S) -> bool:
        """Read reports until one of a kind comes; return False if the worker exits. Raise TimeoutError."""
        ends_at = time.monotonic() + timeout_s
        try:
            while data := self.link.recv(1 << 16):
                if kind in [type(decode_report(frame)) for frame in self.frames.feed(data)]:
                    return True
                if time.monotonic() > ends_at:  # Reports of its memory come without being asked for.
                    raise TimeoutError
        except ConnectionError:
            pass
        return False

    def drain(self) -> None:
        """Read what has come, so that the worker is never kept from writing."""
        self.link.setblocking(False)
        try:
            while data := self.link.recv(1 << 20):
                for frame in self.frames.feed(data):
                    decode_report(frame)
        except (BlockingIOError, ConnectionError):
            pass
        self.link.settimeout(PATIENCE_S)

    def check_exit(self, *, allowed: bool) -> None:
        """Check how the worker exited. Raise Finding unless it was with one line for what was malformed."""
        log = self.process.communicate(timeout=PATIENCE_S)[1]
        code = self.process.returncode
        if not allowed or code != 1 or not log.startswith("worker exits: ") or log.count("\n") != 1:
            raise Finding(f"the worker exited with {code}: {log[-3000:]}")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.link.close()

    def close(self) -> None:
        self.link.close()
        log = self.process.communicate(timeout=PATIENCE_S)[1]
        if log or self.process.returncode:
            raise Finding(f"the worker exited with {self.process.returncode}: {log[-3000:]}")


def fuzz_worker(engine: str, seed: int, seconds: float) -> int:
    """Send requests for a while; return how many. Raise Finding."""
    dice, sent = Dice(f"{seed} {engine}"), 0
    worker = WorkerProcess.start(engine)
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        messages = [_message(dice) for _ in range(dice.randint(1, 20))]
        malformed = not all(map(_valid, messages))
        if not _answers(worker, messages, malformed=malformed):
            worker.check_exit(allowed=malformed)
        if malformed:  # If it lives, half a message may have swallowed what came after it.
            worker.kill()
            worker = WorkerProcess.start(engine)
        sent += len(messages)
    worker.close()
    return sent


def _answers(worker: WorkerProcess, messages: list[bytes], *, malformed: bool) -> bool:
    """Send requests and a ping; return False if the worker exits. Raise Finding if it does neither."""
    try:
        for message in messages:
            worker.drain()
            worker.link.sendall(message)
        worker.link.sendall(encode(Ping()))
        return worker.until(Pong, HALF_S if malformed else PATIENCE_S)
    except ConnectionError:
        return False
    except TimeoutError:
        if malformed:
            return True
        raise Finding("dead worker: a ping was not answered") from None


def _message(dice: Dice) -> bytes:
    """Return the bytes of a request: most are well formed, whatever they ask for."""
    raw = encode(_request(dice))
    if dice.chance(0.5):
        raw = _mutated(dice, raw)
    return raw if _valid(raw) or dice.chance(MALFORMED) else encode(Ping())


def _valid(raw: bytes) -> bool:
    """Return whether bytes are one whole request."""
    try:
        frames = list(FrameReader().feed(raw))
        for frame in frames:
            decode_request(frame)
    except ProtocolError:
        return False
    return len(frames) == 1 and pack(frames[0].header, [frames[0].body]) == raw


def _mutated(dice: Dice, raw: bytes) -> bytes:
    if dice.chance(0.2):
        return dice.damaged(raw)
    _, size = struct.unpack_from("<II", raw)
    fields = json.loads(raw[8 : 8 + size])
    for _ in range(dice.randint(1, 3)):
        fields[1:] = [dice.mutated(field) for field in fields[1:]]
    return pack(dice.encoded(fields))


def _request(dice: Dice) -> Request:
    number, context = dice.randrange(20), dice.randrange(4)
    generation = Generation(
        dice.choice((None, "en", "de", "ar", "zz", "en-US")),
        dice.choice((None, 0.25, 1.0, 4.0, 1e9, -1.0, 0.0)),
        dice.choice((None, 0.5, 1.0, 2.0, 1e9, -1.0, 0.0)),
        dice.choice((None, 0, 2**63 - 1)),
    )
    voice = dice.choice((DEFAULT_VOICE, CLONED, Voice("nobody", "", "no style", "S1", None)))
    text = dice.text().encode(errors="replace").decode()  # No half of a surrogate pair reaches the pipe.
    utterance = Utterance(number, context, text, voice, generation, dice.random() * 1e6)
    return dice.choice(
        (
            *(Submit(utterance), Submit(utterance), Submit(utterance), Cancel(number), Release(context)),
            *(Taken(number, dice.choice((0, 10**5, 2**62))), Prepare(voice), Relieve(), Ping()),
        )
    )
