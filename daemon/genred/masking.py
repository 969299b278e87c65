"""What must never be shown: passwords and tokens in URLs, wherever a URL is printed or logged."""

from __future__ import annotations

import re

MASK = "***"
"""Stands for what is hidden."""

_AUTHORITY = re.compile(r"(?<=://)[^/?#\s]*@")
# A password that holds an unescaped "/", "?" or "#": no valid URL, but written all the same. A
# port, digits up to the path, is no password.
_BROKEN_AUTHORITY = re.compile(r"(?<=://)[^/?#\s@:\[]+:(?!\d+(?:[/?#\s]|$))[^\s@]*@(?:[^\s@/]*@)*")
_QUERY = re.compile(
    r"(?i)(?<=[?&;])([^=&;#\s]{0,40}(?:token|key|pass|pwd|secret|auth|sig)[^=&;#\s]{0,40}=)[^&;#\s]+"
)


def mask(text: str) -> str:
    """``text`` with ``***`` in the place of what the URLs in it should keep to themselves.

    That is user name and password, and the values of queries such as ``token=`` or ``key=``.
    """
    for pattern in (_AUTHORITY, _BROKEN_AUTHORITY):
        text = pattern.sub(f"{MASK}@", text)
    return _QUERY.sub(rf"\g<1>{MASK}", text)
