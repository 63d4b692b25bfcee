"""Which fields of a request do not go together: said in a sentence, instead of ignoring one."""

from typing import Any

from weights.errors import InputError

_FOR_DRIVING = ("driving_amount", "driving_regions", "driving_smoothing")
_FOR_ASK = ("persona", "llm_url", "llm_model", "llm_key_file", "speech_model", "speech_voice")
_VOICES = (
    *("agent_audio", "text", "ask", "interlocutor_audio", "interlocutor_video", "transcript"),
    "driving_video",
)


def check_rivals(request: Any) -> None:
    """Raise InputError for the first fields of a MotionRequest that do not go together."""
    if request.agent_audio is not None and request.text is not None:
        raise InputError(
            "got both a recording of the agent's voice and a text to speak; give one of them"
        )
    if request.text is not None and not request.text.strip():
        raise InputError("got an empty text; give the words that the agent says")
    _check_ask(request)
    _check_turns(request)
    if not request.has_words and request.voice != type(request).voice:
        raise InputError(
            f"got the voice {request.voice!r} without a text; a voice only speaks a text"
        )
    if request.style is not None and request.style_clip is not None:
        raise InputError("got both a style and a style clip; give one of them")
    if request.transcript is not None and request.agent_audio is None:
        raise InputError(
            "got a transcript without a recording of the agent's voice; a transcript says what "
            "is heard there"
        )
    _check_driving(request)


def _check_ask(request: Any) -> None:
    if request.llm_url is not None:
        from audio2motion.voice.endpoint import check_url

        check_url(request.llm_url)  # before anything repeats it: it may have a password in it
    if request.ask is None:
        given = [n for n in _FOR_ASK if getattr(request, n) is not None]
        if given:
            raise InputError(
                f"got {' and '.join(given)} but no prompt for a language model (ask); give one"
            )
    elif not request.ask.strip():
        raise InputError("got an empty prompt; give what the language model is asked")
    elif request.text is not None or request.agent_audio is not None:
        raise InputError(
            "got both a prompt for a language model and a recording or text for the agent to "
            "say; give one of them"
        )


def _check_turns(request: Any) -> None:
    if request.turns is not None and request.turns_file is not None:
        raise InputError("got both turns and a file of turns; give one of them")
    if not request.has_turns:
        return
    given = [n.replace("_", " ") for n in _VOICES if getattr(request, n) is not None]
    if given:
        raise InputError(
            f"got turns together with {' and '.join(given)}; the turns are all that is said: put "
            "it into one of them, or leave it out"
        )
    if request.order == "together":
        raise InputError("got the order together for turns, which follow each other; leave it out")


def _check_driving(request: Any) -> None:
    if request.driving_video is None:
        changed = [n for n in _FOR_DRIVING if getattr(request, n) != getattr(type(request), n)]
        if changed:
            raise InputError(
                f"got {' and '.join(changed)} without a driving video, whose movement it is "
                "about; give one"
            )
        return
    if request.text is not None or request.ask is not None:
        raise InputError(
            "got both a driving video and words for the agent to say; the video brings its own "
            "voice: leave the words out, or give a recording of them (agent_audio)"
        )
    if request.order == "turns":
        raise InputError(
            "got the order turns together with a driving video, with which the agent's voice "
            "begins; leave the order out"
        )
    if request.driven_whole:
        require_unguided(
            request,
            "a driving video that moves all of the face",
            "leave it out, or take less of the video (driving_regions)",
        )


def require_unguided(request: Any, by: str, otherwise: str) -> None:
    """With a motion of its own the face follows nothing else: say so instead of ignoring it."""
    kind = type(request)
    changed = [
        name
        for name, given in (
            ("a prompt", request.ask is not None),
            ("an interlocutor's video", request.interlocutor_video is not None),
            ("an emotion", request.emotion != kind.emotion),
            ("an intensity", request.intensity != kind.intensity),
            ("a valence", request.valence is not None),
            ("an arousal", request.arousal is not None),
            ("an expressivity", request.expressivity != kind.expressivity),
            ("an expressivity of regions", bool(request.regions)),
            ("a gaze", request.gaze is not None),
            ("a style", request.style is not None or request.style_clip is not None),
            ("gestures", bool(request.gestures) or request.gesture_file is not None),
            ("a transcript", request.transcript is not None),
        )
        if given
    ]
    if changed:
        raise InputError(
            f"got {' and '.join(changed)} together with {by}, which already says what the face "
            f"does; {otherwise}"
        )
    if request.interlocutor_audio is not None and not request.hears_both:
        raise InputError(
            f"got the interlocutor's audio together with {by}: it would be neither heard nor "
            "reacted to; mix both voices, or leave it out"
        )
