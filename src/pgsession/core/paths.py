"""Paths to the parts of a session, and the texts in it: what PostgreSQL can store."""

from __future__ import annotations

from typing import Final, TypeAlias

from pgsession.errors import InvalidValueError, UnsupportedTypeError

# Error messages show at most this many characters of a name.
_MAX_SHOWN: Final = 40

# At most so many levels appear in a path.
_MAX_SEGMENTS: Final = 8

#: The path to the container, and a name or an index in it.
Path: TypeAlias = "tuple[Path | None, str | int]"


def checked_name(name: object, path: Path | None) -> str:
    """Return the name of a member as a `str`, or raise an error that names the path."""
    if isinstance(name, str):
        return checked_text(str.__str__(name), (path, name))
    raise UnsupportedTypeError(
        f"{format_path(path)} has a key of type {type(name).__name__}; JSON keys are strings."
    )


def checked_text(text: str, path: Path) -> str:
    """Return `text` if PostgreSQL can store it, or raise an error that names the path."""
    if is_text(text):
        return text
    if "\0" in text:
        raise InvalidValueError(
            f"{format_path(path)} has a NUL character, which PostgreSQL cannot store."
        )
    raise InvalidValueError(f"{format_path(path)} has a lone surrogate, which is not Unicode text.")


def is_text(text: str) -> bool:
    """Return True if PostgreSQL can store `text`."""
    return "\0" not in text and (text.isascii() or not _has_surrogates(text))


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def format_path(path: Path | None) -> str:
    """Return the path to a part of a session, such as ``session["cart"][3]``."""
    segments: list[str] = []
    while path is not None:
        path, segment = path
        segments.append(
            f"[{segment!a}]" if isinstance(segment, int) else f'["{_shorten(segment)}"]'
        )
    segments.reverse()
    if len(segments) > _MAX_SEGMENTS:
        segments = [*segments[:_MAX_SEGMENTS], f"… ({len(segments) - _MAX_SEGMENTS} levels more)"]
    return "session" + "".join(segments)


def _shorten(name: str) -> str:
    text = str.__str__(name)  # a StrEnum has another repr
    return ascii(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…")[1:-1]
