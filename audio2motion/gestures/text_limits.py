"""How long texts may be that people and language models write, each limit once.

They keep work on a text short, whoever sends it; nobody has met one by accident. What works for
many people at once may take less.
"""

MAX_CHARACTERS = 20_000
"""Of what is spoken, asked or told at once: about 20 minutes of speech."""
MAX_FILE_BYTES = 8 * 10**6
"""Of a transcript or timeline of gestures: an hour of talk has about 60,000."""
MAX_NAME = 200
"""Characters of a voice, emotion, style, gaze, model or region."""
MAX_ADDRESS = 2000
"""Characters of an address."""
MAX_GESTURE = 100
"""Characters of one gesture as text."""
MAX_GESTURES = 10_000
"""Gestures that are placed in one request."""
MAX_SPEECH_S = 3600.0
"""Seconds of speech from one text: 20,000 characters at the slowest rate, not 20,000 emoji."""


def shown(value: object, most: int = 60) -> str:
    """A value as an error may quote it: the beginning of a long text, of a list what it is."""
    if isinstance(value, str):
        return repr(value if len(value) <= most else f"{value[:most]}...")
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**18 else "a very large number"
    if isinstance(value, dict):
        return f"an object with {shown(', '.join(map(str, list(value)[:6])), most)}"
    return f"a {type(value).__name__}"
