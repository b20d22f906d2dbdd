"""Fields of a request that every door understands."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, model_validator

_NAMES = ("language", "language_code", "lang_code", "lang")
"""Names that clients give to the language; the first that says one counts."""


class LanguageField(BaseModel):
    """A language tag, `en_GB` as well as `en-GB`, or `auto`, under any of the names clients give it."""

    language: str | None = Field(
        None,
        max_length=35,
        pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
        description="a language tag, such as en-GB, or auto",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_one_name(cls, said: Any) -> Any:
        if not isinstance(said, dict) or not any(name in said for name in _NAMES):
            return said
        value = next((said[name] for name in _NAMES if said.get(name) not in (None, "")), None)
        others = {name: value for name, value in said.items() if name not in _NAMES}
        return {**others, "language": value.replace("_", "-") if isinstance(value, str) else value}


class SpeechFields(LanguageField):
    """text_processing: False speaks the text as it stands."""

    text_processing: bool = True
