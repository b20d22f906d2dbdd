"""The names of voices and voice samples."""

from __future__ import annotations

import unicodedata

from streaming_server.errors import BadValue

MAX_NAME_CHARS = 64


def check_name(name: str, field: str) -> str:
    """Return `name` if it can name a voice or a voice sample. Raise BadValue, naming the field.

    A name has 1 to 64 characters in Unicode's form NFKC: letters and digits of any script with their marks,
    "_", "-", "." and single spaces; no dot at the start, no space at either end.
    """
    if not (
        isinstance(name, str)
        and 1 <= len(name) <= MAX_NAME_CHARS
        and all(map(_is_allowed, name))
        and not name.startswith(".")
        and not unicodedata.category(name[0]).startswith("M")
        and all(name.split(" "))
        and unicodedata.normalize("NFKC", name) == name
    ):
        raise BadValue(
            f"must be 1 to {MAX_NAME_CHARS} letters, digits, '_', '-', '.' and single spaces between "
            "them, and not begin with a dot.",
            field=field,
        )
    return name


def _is_allowed(character: str) -> bool:
    return character in "_-. " or unicodedata.category(character)[0] in "LM" or character.isdecimal()


def storable(name: str) -> str:
    """Return a name that PostgreSQL accepts in a query; no stored name has a null character."""
    return "" if "\0" in name else name
