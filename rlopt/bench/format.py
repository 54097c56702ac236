"""How numbers are written for people: one place, so that table, page and file agree.

A true minus sign, a narrow no-break space in thousands, no e-notation, "–" for what does
not apply. A number never shows more digits than its uncertainty supports.
"""

import math
import unicodedata

DASH = "–"
MINUS = "−"
THIN = "\u202f"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def known(x: float | None) -> bool:
    """Whether x is a finite number."""
    return x is not None and math.isfinite(x)


def _signed(x: float, digits: str) -> str:
    """Put the true minus before digits that show something other than zero."""
    return MINUS + digits if x < 0 and digits.strip("0.") else digits


def _grouped(digits: str) -> str:
    """Thin spaces in thousands: '61204.8' -> '61 204.8'."""
    whole, point, rest = digits.partition(".")
    return f"{int(whole):,}".replace(",", THIN) + point + rest


def fixed(x: float | None, decimals: int) -> str:
    """X with that many decimals (rounded to tens, hundreds, … where negative)."""
    if x is None or not math.isfinite(x):
        return DASH
    return _signed(x, _grouped(f"{round(abs(x), decimals):.{max(decimals, 0)}f}"))


def score(x: float | None) -> str:
    """A score: two decimals."""
    return fixed(x, 2)


def fine(x: float | None) -> str:
    """A score among neighbours: three decimals."""
    return fixed(x, 3)


def plus(x: float | None, decimals: int = 3) -> str:
    """A difference, with its sign also where it is positive."""
    text = fixed(x, decimals)
    return "+" + text if known(x) and text[0] not in MINUS and text.strip("0.") else text


def interval(low: float, high: float, decimals: int = 2) -> str:
    """'0.94 to 0.96'; a dash between the numbers would read as a minus."""
    if not (known(low) and known(high)):
        return DASH
    return f"{fixed(low, decimals)} to {fixed(high, decimals)}"


def tile(x: float | None) -> str:
    """A score in a small square: '.97', '−.05', '1.0', '−3.2', '−45'."""
    if x is None or not math.isfinite(x):
        return DASH
    if abs(x) < 0.995:
        digits = f"{abs(x):.2f}"
        return _signed(x, "0" if digits == "0.00" else digits.removeprefix("0"))
    if abs(x) < 9.95:
        return fixed(x, 1)
    return fixed(x, 0) if abs(x) < 999.5 else (MINUS if x < 0 else "") + "10" + power(x)


def power(x: float) -> str:
    """The decade of x as a superscript: 2000 -> '³'."""
    return str(math.floor(math.log10(abs(x)))).translate(_SUPERSCRIPT)


def scientific(x: float, significant: int = 1) -> str:
    """'2 × 10⁻⁵': what other programmes write as 2e-05."""
    mantissa, exponent = f"{abs(x):.{significant - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    decade = "10" + str(int(exponent)).translate(_SUPERSCRIPT)
    return _signed(x, decade if mantissa == "1" else f"{mantissa} × {decade}")


def regret(x: float | None, significant: int = 3) -> str:
    """A regret or a value in the task's own unit: three significant digits."""
    if x is None or not math.isfinite(x):
        return DASH
    if x == 0:
        return "0"
    exponent = int(f"{abs(x):.{significant - 1}e}".split("e")[1])
    if not -4 < exponent < 6:
        return scientific(x, significant)
    return fixed(x, significant - 1 - exponent)


def to_tolerance(x: float | None, tolerance: float | None, most: int = 6) -> str:
    """An oracle's value: digits down to its tolerance, no further, at most six."""
    if x is None or not math.isfinite(x):
        return DASH
    size = math.floor(math.log10(abs(x))) if x else 0
    decimals = most - 1 - size
    if tolerance and known(tolerance) and tolerance > 0:
        decimals = min(decimals, math.floor(-math.log10(tolerance) + 1e-9))
    text = fixed(x, decimals)
    if size < -4 and decimals >= 0:
        return scientific(x, 3)
    return text.rstrip("0").rstrip(".") if "." in text and not tolerance else text


def tolerance(x: float | None) -> str:
    """'2 × 10⁻⁵' or '0.03', one digit: more would be pretence."""
    if x is None or not math.isfinite(x):
        return DASH
    if x == 0:
        return "0"
    return scientific(x, 1) if not 0.01 <= abs(x) < 1000 else regret(x, 1)


def steps(n: float | None) -> str:
    """Environment steps: '0.28 M', '1.0 M', '20 k', '950'; a dash for none."""
    if n is None or not math.isfinite(n) or n <= 0:
        return DASH
    if n < 1000:
        return f"{n:.0f}"
    unit, name = (1e6, "M") if n >= 99_500 else (1e3, "k")
    return f"{_two(n / unit)}{THIN}{name}"


def _two(x: float) -> str:
    """Two significant digits, all digits of what is larger than 99."""
    return regret(x, 2) if x < 99.5 else fixed(x, 0)


def seconds(s: float | None) -> str:
    """A time in the unit that fits, two digits: '48 s', '2.4 min', '1.5 h'."""
    if s is None or not math.isfinite(s):
        return DASH
    if s < 0.01:
        return f"< 0.01{THIN}s"
    if s < 99.5:
        return f"{_two(s)}{THIN}s"
    if s < 99.5 * 60:
        return f"{_two(s / 60)}{THIN}min"
    return f"{_two(s / 3600)}{THIN}h"


def long_time(s: float | None) -> str:
    """A long time as one says it: '1 h 34 min'."""
    if s is None or not math.isfinite(s) or s < 3600:
        return seconds(s)
    minutes = round(s / 60)
    return f"{fixed(minutes // 60, 0)}{THIN}h {minutes % 60}{THIN}min"


def percent(share: float | None) -> str:
    """'58 %'."""
    return DASH if share is None or not math.isfinite(share) else f"{100 * share:.0f}{THIN}%"


def visible(name: object, most: int | None = None) -> str:
    """A name as one line of text: control characters shown, the length cut to `most`.

    Escape codes in a name could otherwise repaint a terminal, and line breaks a table.
    """
    text = "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in str(name))
    return text if most is None or len(text) <= most else text[: most - 1].rstrip() + "…"


def short(name: object, most: int) -> str:
    """A name cut in the middle: beginnings are often alike, 'constant_e…t_tuned' is not."""
    text = visible(name)
    if len(text) <= most:
        return text
    tail = (most - 1) * 2 // 5
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def listed(names: list[str], most: int = 4) -> str:
    """'a, b and c'; 'a, b, c and 5 more' where the list is long."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def count(n: int, one: str, many: str | None = None) -> str:
    """'1 trial', '3 trials'."""
    return f"{fixed(n, 0)} {one if n == 1 else many or one + 's'}"
