"""Error messages about flags and variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from streaming_server.errors import BadValue
from streaming_server.validation import Problem, Schema, problems


@contextmanager
def explained(schema: Callable[[], Schema]) -> Iterator[None]:
    """Turn ValidationError into BadValue, with one line for each wrong flag. schema: of the settings."""
    try:
        yield
    except ValidationError as error:
        raise BadValue("\n".join(map(_sentence, problems(error, schema())))) from None


def _sentence(problem: Problem) -> str:
    """Return the problem with the name of its flag; of a list, that of its first wrong item."""
    flag = f"--{problem.field[0]}: ".replace("_", "-") if problem.field else ""
    return flag + problem.message
