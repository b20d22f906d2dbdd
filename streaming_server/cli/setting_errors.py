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
    """Name the flag; of a list, the problem is its first wrong item's."""
    flag = f"--{problem.field[0]}: ".replace("_", "-") if problem.field else ""
    return flag + problem.message
