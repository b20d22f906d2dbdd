"""A client of a foreign protocol that gives its turns names."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from streaming_server.errors import SpeechError
from streaming_server.web.services import Parts
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.session import Session, TurnT


class NamedSession(Session[TurnT]):
    """Several turns at once, each with a name that may be used again.

    taking: the turns that take text, by name. leaving: those that take none any more, or are to be dropped;
    another turn of the name is heard after them.
    """

    def __init__(self, parts: Parts, connection: Connection) -> None:
        super().__init__(parts, connection)
        self.taking: dict[str, TurnT] = {}
        self.leaving: dict[str, TurnT] = {}
        self._failed: deque[str] = deque(maxlen=4 * parts.settings.max_contexts)

    def begin(self, name: str, make: Callable[[], TurnT], *, more: bool) -> TurnT:
        """A new turn. more: whether the client goes on with it, so that there is more to pass over where it
        cannot be made. Raises what `make` does, and TooLarge."""
        try:
            self.check_space()
            turn = make()
        except SpeechError:
            if more:
                self.note_failed(name)
            raise
        self.taking[name] = turn
        self.start(turn)
        return turn

    def blame(self, name: str, error: SpeechError) -> None:
        """What is wrong with a message ends the turn that it was for. Raises it where there is none."""
        if (turn := self.taking.get(name)) is None:
            error.context = name
            raise error
        turn.context.fail(error.code, error.message, error.retryable)

    def forget(self, turn: TurnT) -> None:
        assert turn.name is not None
        for turns in (self.taking, self.leaving):
            if turns.get(turn.name) is turn:
                del turns[turn.name]

    # What comes after a failure.

    def note_failed(self, name: str) -> None:
        """The rest of the turn of this name is on its way and is to be passed over."""
        if name not in self._failed:
            self._failed.append(name)

    def swallowed(self, name: str, *, ends: bool) -> bool:
        """Whether this belongs to the rest of a turn that failed."""
        if name not in self._failed:
            return False
        if ends:
            self.forgive(name)
        return True

    def forgive(self, name: str) -> None:
        """What comes under this name is a new turn again."""
        if name in self._failed:
            self._failed.remove(name)
