"""Numbers as people read them."""

_LARGE = 1e9


def short(number: float, digits: int = 4) -> str:
    """Text of a number: 0.02441, 86.48, 1,175, 14,517.

    Args:
      number: Any number.
      digits: How many significant digits a fraction has. Whole numbers below a thousand
        million have all of theirs.
    """
    if 10 ** (digits - 1) <= abs(number) < _LARGE:
        return f"{number:,.0f}"
    return f"{number:.{digits}g}"


def spread(low: float, median: float, high: float) -> str:
    """Text of a median and, in brackets if they differ, of the lowest and highest."""
    ends = "" if low == high else f" ({short(low)} ... {short(high)})"
    return f"{short(median)}{ends}"
