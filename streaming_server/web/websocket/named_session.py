"""A session whose protocol gives contexts names."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from streaming_server.context import End, Failure
from streaming_server.errors import SpeechError
from streaming_server.web.services import SpeechServices
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.session import Session, TurnT


class NamedSession(Session[TurnT]):
    """Hold several turns at once, each under a name that may be used again after it.

    open_turns: turns that take text, by name. ending_turns: turns that no longer do and whose end is still to
    be sent; the next turn of the name is heard after them.

    After a context fails, the rest of its turn is ignored, since the client may not know of the failure
    yet: it neither opens a context nor is answered.
    """

    def __init__(self, services: SpeechServices, connection: Connection) -> None:
        super().__init__(services, connection)
        self.open_turns: dict[str, TurnT] = {}
        self.ending_turns: dict[str, TurnT] = {}
        self._failed: deque[str] = deque(maxlen=4 * services.settings.max_contexts)

    def begin(self, name: str, make: Callable[[], TurnT], *, more: bool) -> TurnT:
        """Make a turn and start it.

        more: whether the client goes on with it, so that more is to be ignored if it fails. Raise what
        `make` raises.
        """
        try:
            turn = make()
        except SpeechError as error:
            if more:
                self.note_failed(name)
            error.context = name
            raise
        turn.more = more
        self.open_turns[name] = turn
        self.start(turn)
        return turn

    def cancel(self, name: str) -> None:
        """Cancel a turn, if there is one; its name is free at once."""
        if (turn := self.open_turns.pop(name, None)) is not None:
            turn.context.cancel()
            self.ending_turns[name] = turn

    def conclude(self, turn: TurnT, end: End) -> None:
        """Free the turn's name; the next turn of that name still waits for this one's end to be sent."""
        assert turn.name is not None
        if self.open_turns.get(turn.name) is turn:
            del self.open_turns[turn.name]
            self.ending_turns[turn.name] = turn
            if isinstance(end, Failure) and turn.more:
                self.note_failed(turn.name)

    def forget(self, turn: TurnT) -> None:
        assert turn.name is not None
        for turns in (self.open_turns, self.ending_turns):
            if turns.get(turn.name) is turn:
                del turns[turn.name]

    def note_failed(self, name: str) -> None:
        """Ignore the rest of the turn of this name."""
        if name not in self._failed:
            self._failed.append(name)

    def belongs_to_failed_turn(self, name: str, *, ends: bool) -> bool:
        """Return whether a message is part of the rest of a failed turn. ends: whether it is the last.

        The rest begins with the failure, although the client may be told of it later.
        """
        if (turn := self.open_turns.get(name)) is not None:
            if not turn.more or not turn.context.failed:
                return False
            if ends:
                self.cancel(name)  # Only its error is still to be sent; the next turn follows that.
            return True
        if name not in self._failed:
            return False
        if ends:
            self.clear_failed(name)
        return True

    def awaits_end(self, name: str) -> bool:
        """Return whether the name has an open turn, or one whose end, unless it was cancelled, is still to
        be sent.

        Then a message that is refused ends nothing: clients take an error with the name for the turn's end,
        and another may follow.
        """
        if name in self.open_turns:
            return True
        left = self.ending_turns.get(name)
        return left is not None and (left.context.failed or not left.context.stopped)

    def clear_failed(self, name: str | None = None) -> None:
        """Ignore no more messages under this name, or under any."""
        if name is None:
            self._failed.clear()
        elif name in self._failed:
            self._failed.remove(name)
