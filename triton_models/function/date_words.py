"""Finds out whether a text speaks of days of the calendar. Pure; used by needle_caller.py."""

from __future__ import annotations

import re

_PERIOD = r"(?:days?|nights?|weeks?|weekends?|fortnights?|months?|quarters?|years?|decades?)"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_PART = r"(?:spring|summer|autumn|fall|winter|morning|afternoon|evening)"
_DATE_WORDS = re.compile(
    rf"""\b(?:
      today | tonight | tomorrow | yesterday | (?:mon|tues|wednes|thurs|fri|satur|sun)days?
    | (?:next|last|this|coming|past|previous|following|current)\s+(?:\w+\s+)?(?:{_PERIOD}|{_MONTH}|{_PART})
    | {_PERIOD}\s+(?:ago|from\s+(?:now|today)) | in\s+(?:an?|\w+)\s+{_PERIOD} | year\s+to\s+date
    | {_MONTH},?\s*(?:the\s+)?\d | \d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH} | the\s+\d{{1,2}}(?:st|nd|rd|th)
    | \d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}} | \d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)


def speaks_of_dates(text: str) -> bool:
    """Returns True if a value of the text may depend on today's date: "on Friday", "next week", "3 May"."""
    return _DATE_WORDS.search(text) is not None
