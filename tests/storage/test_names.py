"""The names of voices and voice samples."""

from __future__ import annotations

import pytest
from hypothesis import given as each
from hypothesis import strategies as st

from streaming_server.errors import BadValue
from streaming_server.storage.names import check_name


@pytest.mark.parametrize(
    "name",
    ["a", "aria", "Ann-Marie_2.1", "Чтец 2", "राम", "日本語", "Zoë", "a..b", "-x", "x" * 64, "٣", "a b c"],
)
def test_accepts_names_in_any_script(name: str) -> None:
    assert check_name(name, "voice_id") == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="nothing"),
        pytest.param("x" * 65, id="65"),
        pytest.param("x" * 300, id="300"),
        "../x",
        "..",
        ".hidden",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "%2e%2e",
        "a%b",
        pytest.param("a\0b", id="NUL"),
        pytest.param("a\nb", id="newline"),
        pytest.param("a\x7fb", id="delete"),
        pytest.param("a\x85b", id="next line"),
        pytest.param("․․", id="one-dot leaders"),
        pytest.param("．．", id="fullwidth dots"),
        pytest.param("。。", id="ideographic full stops"),
        pytest.param("a‥b", id="two-dot leader"),
        pytest.param("a／b", id="fullwidth slash"),
        pytest.param("a∕b", id="division slash"),
        pytest.param("ａria", id="fullwidth letter"),
        pytest.param("ﬁn", id="ligature"),
        pytest.param("Zoe\u0308", id="decomposed"),
        pytest.param("\u0301a", id="a mark with nothing under it"),
        pytest.param("a\u200bb", id="zero width space"),
        pytest.param("a\u202eb", id="right to left override"),
        pytest.param("a\ufeffb", id="byte order mark"),
        pytest.param("a\u00a0b", id="no-break space"),
        pytest.param("\ud800", id="half of a pair"),
        pytest.param("\U000f0000", id="private use"),
        " a",
        "a ",
        "a  b",
        " ",
        "a\tb",
        "😀",
        "a:b",
        "a*b",
        "a'b",
    ],
)
def test_rejects_invalid_names(name: str) -> None:
    with pytest.raises(BadValue, match=r"^voice_id: ") as caught:
        check_name(name, "voice_id")
    assert not name or f"'{name}'" not in caught.value.message


@each(st.text(st.characters(categories=("L", "M", "N", "P", "Z", "C", "S")), max_size=70))
def test_every_accepted_name_is_a_safe_file_name(name: str) -> None:
    try:
        check_name(name, "name")
    except BadValue:
        return
    assert 1 <= len(name) <= 64
    assert not set(name) & set("/\\%\0")
    assert name == name.strip()
    assert name.isprintable()
    assert not name.startswith(".")
