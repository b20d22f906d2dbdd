"""Word lists of written English."""

from __future__ import annotations

MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
]  # fmt: skip
WEEKDAY_OF = {
    "Mon": "Monday",
    "Tue": "Tuesday",
    "Tues": "Tuesday",
    "Wed": "Wednesday",
    "Thu": "Thursday",
    "Thur": "Thursday",
    "Thurs": "Thursday",
    "Fri": "Friday",
    "Sat": "Saturday",
    "Sun": "Sunday",
}
MONTH_OF = {month: month for month in MONTHS} | {
    short: next(month for month in MONTHS if month.startswith(short[:3]))
    for short in ["Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec"]
}

TITLES = {
    "Dr": "Doctor",
    "Mr": "Mister",
    "Mrs": "Missus",
    "Ms": "Miz",
    "Prof": "Professor",
    "Mt": "Mount",
    "Ft": "Fort",
    "Gen": "General",
    "Gov": "Governor",
    "Sen": "Senator",
    "Rep": "Representative",
    "Capt": "Captain",
    "Lt": "Lieutenant",
    "Col": "Colonel",
    "Sgt": "Sergeant",
    "Rev": "Reverend",
    "Hon": "Honorable",
    "Pres": "President",
    "Fr": "Father",
    "Messrs": "Messieurs",
}
"""Abbreviations in front of a name; what follows begins no sentence."""

ABBREVIATIONS = {
    "e.g.": "for example",
    "i.e.": "that is",
    "a.k.a.": "also known as",
    "vs.": "versus",
    "approx.": "approximately",
    "dept.": "department",
    "Dept.": "Department",
    "Univ.": "University",
    "govt.": "government",
    "cf.": "compare",
    "incl.": "including",
    "excl.": "excluding",
    "viz.": "namely",
    "al.": "al",
}
"""Abbreviations after which no sentence starts."""

LAST_WORDS = {
    "etc.": "et cetera",
    "a.m.": "AM",
    "p.m.": "PM",
    "A.M.": "AM",
    "P.M.": "PM",
    "Jr.": "Junior",
    "Sr.": "Senior",
    "Inc.": "Incorporated",
    "Ltd.": "Limited",
    "Corp.": "Corporation",
    "Co.": "Company",
    "Bros.": "Brothers",
    "Esq.": "Esquire",
    "Ave.": "Avenue",
    "Blvd.": "Boulevard",
    "Rd.": "Road",
    "Hwy.": "Highway",
    "Ph.D.": "PhD",
    "M.D.": "MD",
    "Ln.": "Lane",
    "Pkwy.": "Parkway",
    "B.C.": "BC",
    "A.D.": "AD",
}
"""A capital letter after one of these begins a sentence, and its point ends one."""

SHORT_WORDS = {
    "vs": "versus",
    "YoY": "year over year",
    "QoQ": "quarter over quarter",
    "WWI": "World War one",
    "WWII": "World War two",
    "WW1": "World War one",
    "WW2": "World War two",
    "s/he": "he or she",
}
"""Abbreviations without a point."""

DIRECTIONS = {"N": "North", "S": "South", "E": "East", "W": "West"}

STREETS = {"St": "Street", "Rd": "Road", "Ave": "Avenue", "Blvd": "Boulevard", "Ln": "Lane", "Hwy": "Highway"}
"""Last words of streets, also without a point."""

STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]"
    "|UT|V[AT]|W[AIVY]"
)
"""Pattern of the postal abbreviations of the states of the United States."""

NUMBERED = {
    "No": "number",
    "no": "number",
    "Nr": "number",
    "Ext": "extension",
    "ext": "extension",
    "Ste": "suite",
    "ca": "circa",
    "c": "circa",
    "est": "established",
    "Min": "minimum",
    "min": "minimum",
    "Max": "maximum",
    "max": "maximum",
    "Nos": "numbers",
    "Apt": "apartment",
    "Fig": "figure",
    "fig": "figure",
    "Figs": "figures",
    "Vol": "volume",
    "vol": "volume",
    "p": "page",
    "pp": "pages",
    "Ch": "chapter",
    "ch": "chapter",
    "Sec": "section",
    "sec": "section",
    "Eq": "equation",
    "eq": "equation",
    "pg": "page",
    "Pg": "page",
    "pgs": "pages",
    "para": "paragraph",
    "Art": "article",
    "Rm": "room",
    "Bldg": "building",
    "Tel": "telephone",
    "tel": "telephone",
    "Op": "opus",
    "Ep": "episode",
    "ep": "episode",
    "Ver": "version",
    "ver": "version",
    "rev": "revision",
    "Bk": "book",
    "Pt": "part",
    "nos": "numbers",
    "Lv": "level",
    "Lvl": "level",
}
"""Abbreviations in front of a number."""

ROMAN_AFTER = (
    "Chapter|Part|Act|Volume|Section|Book|Phase|Type|World War|Super Bowl|Stage|Article|Title|Appendix|Class"
    "|Scene|Canto|Annex|Tier"
)
ROMAN_ORDINAL_AFTER = (
    "Henry|Louis|Elizabeth|Charles|George|Edward|Richard|James|William|John Paul|Benedict|Pius|Philip"
    "|Napoleon|Wilhelm|Nicholas|Catherine|Ramses|Friedrich|Frederick|Francis|Alexander|Peter|Ivan|Leo"
    "|Gregory|Innocent|Urban|Ferdinand|Christian|Haakon"
)

BOOKS = (
    "Genesis|Exodus|Leviticus|Numbers|Deuteronomy|Joshua|Judges|Ruth|Samuel|Kings|Chronicles|Ezra|Nehemiah"
    "|Esther|Job|Psalms?|Proverbs|Ecclesiastes|Isaiah|Jeremiah"
    "|Lamentations|Ezekiel|Daniel|Hosea|Joel|Amos|Jonah|Micah"
    "|Matthew|Mark|Luke|John|Acts|Romans|Corinthians|Galatians|Ephesians|Philippians|Colossians|Thessalonians"
    "|Timothy|Titus|Hebrews|James|Peter|Jude|Revelation|Surah|Quran"
)
"""Books whose chapters and verses are written "3:16"."""

SENTENCE_STARTERS = frozenset({
    "The", "It", "He", "She", "They", "We", "You", "I", "But", "And", "In", "On", "At", "This",
    "That", "These", "Those", "However", "A", "An", "There", "What", "Who", "Why", "How", "If",
    "When", "As", "So", "Then", "My", "Our", "His", "Her", "Its", "For", "To", "Yes", "No", "Now",
    "Some", "Many", "Most", "All", "After", "Before", "Although", "Because", "Please", "Let",
    "Today", "Yesterday", "Tomorrow", "One", "Also", "Or", "Not", "Is", "Are", "Was", "Do", "Does",
    "Did", "Can", "Could", "Will", "Would",
})  # fmt: skip
"""Words that often begin a sentence and seldom a name."""

CAPITALISED_CONTINUATIONS = frozenset({
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "EST", "EDT",
    "PST", "PDT", "CST", "CDT", "MST", "MDT", "ET", "PT", "GMT", "UTC", "CET", "Eastern", "Pacific",
    "Central", "NW", "NE", "SW", "SE", "North", "South", "East", "West",
})  # fmt: skip
"""Capitalised words that go on after a time of day or a street."""
