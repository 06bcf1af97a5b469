"""Days that there are. llguidance's `date` and `date-time` take the year 0, and 29 February of any year."""

from __future__ import annotations

_YEAR = r"([1-9]\d{3}|0[1-9]\d{2}|00[1-9]\d|000[1-9])"
_LEAP_YEAR = r"(\d{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_DAY = r"((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
_DATE = rf"({_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)"

PATTERNS = {
    "date": f"^{_DATE}$",
    "date-time": f"^{_DATE}[tT].{{6}}[0-5]",  # no leap seconds either: most parsers refuse them
    "time": "^.{6}[0-5]",
}
"""What a text of these formats must match besides."""
