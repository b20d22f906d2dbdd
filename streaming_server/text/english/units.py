"""Units of measure and currencies: one and many."""

from __future__ import annotations

_REGULAR = {
    "km": "kilometer",
    "cm": "centimeter",
    "mm": "millimeter",
    "m": "meter",
    "kg": "kilogram",
    "g": "gram",
    "mg": "milligram",
    "µg": "microgram",
    "mcg": "microgram",
    "lb": "pound",
    "oz": "ounce",
    "mi": "mile",
    "yd": "yard",
    "ml": "milliliter",
    "mL": "milliliter",
    "l": "liter",
    "L": "liter",
    "h": "hour",
    "hr": "hour",
    "min": "minute",
    "mins": "minute",
    "s": "second",
    "sec": "second",
    "secs": "second",
    "ms": "millisecond",
    "µs": "microsecond",
    "ns": "nanosecond",
    "kB": "kilobyte",
    "KB": "kilobyte",
    "KiB": "kibibyte",
    "MB": "megabyte",
    "MiB": "mebibyte",
    "GB": "gigabyte",
    "GiB": "gibibyte",
    "TB": "terabyte",
    "PB": "petabyte",
    "W": "watt",
    "kW": "kilowatt",
    "MW": "megawatt",
    "GW": "gigawatt",
    "kWh": "kilowatt hour",
    "V": "volt",
    "mV": "millivolt",
    "mA": "milliamp",
    "mAh": "milliamp hour",
    "kcal": "kilocalorie",
    "cal": "calorie",
    "dB": "decibel",
    "px": "pixel",
}
_SAME = {
    "Hz": "hertz",
    "kHz": "kilohertz",
    "MHz": "megahertz",
    "GHz": "gigahertz",
    "mph": "miles per hour",
    "kph": "kilometers per hour",
    "fps": "frames per second",
    "rpm": "R P M",
    "Mbps": "megabits per second",
    "Gbps": "gigabits per second",
    "kbps": "kilobits per second",
    "%": "percent",
    "lbs": "pounds",
    "hrs": "hours",
}
_IRREGULAR = {
    "ft": ("foot", "feet"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "sq ft": ("square foot", "square feet"),
}


def _powers(unit: str) -> dict[str, tuple[str, str]]:
    name = _REGULAR[unit]
    return {
        f"{unit}{mark}": (f"{power} {name}", f"{power} {name}s")
        for mark, power in (("²", "square"), ("³", "cubic"), ("^2", "square"), ("^3", "cubic"))
    }


UNITS: dict[str, tuple[str, str]] = {
    **{unit: (name, name + "s") for unit, name in _REGULAR.items()},
    **{unit: (name, name) for unit, name in _SAME.items()},
    **_IRREGULAR,
    **{mark: names for unit in ("km", "m", "cm", "mm", "mi") for mark, names in _powers(unit).items()},
}

PER = {
    "h": "hour",
    "hr": "hour",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "day": "day",
    "d": "day",
    "week": "week",
    "wk": "week",
    "month": "month",
    "mo": "month",
    "year": "year",
    "yr": "year",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
    "person": "person",
    "user": "user",
    "kg": "kilogram",
    "g": "gram",
    "l": "liter",
    "L": "liter",
    "km": "kilometer",
    "m²": "square meter",
    "night": "night",
}
"""Units that may follow the slash of a rate."""

CURRENCIES: dict[str, tuple[str, str, str, str]] = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "jeon", "jeon"),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₿": ("bitcoin", "bitcoin", "", ""),
    "CHF": ("franc", "francs", "centime", "centimes"),
}
"""Currency sign: one, many, one hundredth, hundredths."""

CODES = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "INR": "₹",
    "CHF": "CHF",
}

SCALES = {
    "k": "thousand",
    "K": "thousand",
    "m": "million",
    "M": "million",
    "mn": "million",
    "b": "billion",
    "B": "billion",
    "bn": "billion",
    "tn": "trillion",
    "T": "trillion",
    "hundred": "hundred",
    "thousand": "thousand",
    "million": "million",
    "billion": "billion",
    "trillion": "trillion",
}
