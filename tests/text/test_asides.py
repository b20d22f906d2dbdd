"""Sounds and gestures that a text asks for are left out or passed on, never read aloud."""

from __future__ import annotations

import pytest
from helpers.spoken_text import items_of, said


@pytest.mark.parametrize(
    "aside",
    [
        *("(laughs)", "(Laughs)", "(LAUGHING)", "(whispers)", "(sighs deeply)", "(clears her throat)"),
        *("[laughs]", "[sighs deeply]", "[Applause]", "[MUSIC]", "[clears throat]", "[softly laughs]"),
        *("*laughs*", "*Sighs*", "**chuckles**", "_giggles_", "*clears throat*", "*sigh*", "*nods*"),
        *("*takes a deep breath*", "(laughs nervously)", "(audience laughs)", "[laughs and sighs]"),
        *("(nervous laughter)", "(long pause)", "*rolls his eyes*", "*crying*", "[humming]", "(sobbing)"),
        *("*laughs out loud*", "[laughter]", "(coughs, sneezes)", "*whispers softly.*", "(gasp!)"),
        *("(sighs in relief)", "*gasps for air*"),
    ],
)
def test_an_aside_is_left_out(aside: str) -> None:
    assert said(f"Well. {aside} Good.").split() == ["Well.", "Good."]
    assert said(f"{aside} Good.").split() == ["Good."]
    assert said(f"Well, {aside}").split() == ["Well,"]
    assert said(f"Gut. {aside} Ja.", language="de").split() == ["Gut.", "Ja."]


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("She (sings in a choir) came.", "She (sings in a choir) came."),
        ("(really) [sic] (pants) (music)", "(really) [sic] (pants) (music)"),
        ("(laughs at me) (smiled) (he said)", "(laughs at me) (smiled) (he said)"),
        ("He *laughs* a lot and she *sighs*.", "He laughs a lot and she sighs."),
        ("Just *breathe*. She was *crying*!", "Just breathe. She was crying!"),
        ("*Laughter* is healthy. *Laugh* more.", "Laughter is healthy. Laugh more."),
        ("*Coughs* are common. **Sighing** helps.", "Coughs are common. Sighing helps."),
        ("Hear [Applause](http://a.b) and [laughs][1].", "Hear Applause and laughs."),
        ("*laughs* that was great", "that was great"),
        ("So funny *laughs* I know", "So funny I know"),
        ("2*laughs*3", "2*laughs*3"),
        ("(laughs", "(laughs"),
        ("*laughs", "laughs"),
    ],
)
def test_other_text_is_kept(written: str, spoken: str) -> None:
    assert " ".join(said(written, language="fr").split()) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("(laughs) (Clears throat)", "(laughs) (Clears throat)"),
        ("[laughs] *sighs deeply* (Coughing)", "(laughs) (sighs) (coughs)"),
        ("(whispers) *nods* Yes.", "  Yes."),
        ("*clears her throat* He *laughs* a lot.", "(clears throat) He laughs a lot."),
    ],
)
def test_an_engine_that_makes_sounds_gets_those_it_knows(written: str, spoken: str) -> None:
    assert said(written, nonverbals=True) == spoken


@pytest.mark.parametrize(
    "aside", ["[laughs]", "*sighs deeply*", "(laughs and sighs)", "[Applause](x)", "**sobs**"]
)
def test_an_aside_may_be_cut_anywhere(aside: str) -> None:
    text = f"So {aside} now. {aside} Now {aside}"
    whole = items_of([text])
    for cut in range(len(text)):
        assert items_of([text[:cut], text[cut:]]) == whole
    assert items_of(text) == whole
