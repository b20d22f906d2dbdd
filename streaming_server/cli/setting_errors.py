"""What is wrong with flags and variables, in sentences."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def sentences(error: ValidationError) -> list[str]:
    """Return one sentence for each flag that is wrong; for a list, about its first wrong item."""
    found: dict[str, str] = {}
    for details in error.errors(include_url=False, include_input=False):
        flag = f"--{details['loc'][0]}: ".replace("_", "-") if details["loc"] else ""
        found.setdefault(flag, f"{flag}{_reason(details)}.")
    return list(found.values())


def _reason(details: ErrorDetails) -> str:
    """Translate pydantic's message."""
    context = details.get("ctx", {})
    match details["type"]:
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}"
        case "greater_than":
            return f"must be more than {context['gt']:g}"
        case "less_than_equal":
            return f"must be at most {context['le']:g}"
        case "less_than":
            return f"must be less than {context['lt']:g}"
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return "must be a whole number"
        case "float_parsing" | "float_type" | "finite_number":
            return "must be a number"
        case "bool_parsing" | "bool_type":
            return "must be true or false"
        case "literal_error":
            return f"must be {context['expected']}".replace("'", "")
        case "missing":
            return "is required"
        case "value_error":
            return str(context["error"])
    return details["msg"][:1].lower() + details["msg"][1:]
