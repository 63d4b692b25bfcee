"""What a render takes: one frozen value, whose defaults the command line and Python share."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from jaxtyping import UInt8

from app.render.describing import plain
from app.render.driving import DrivingAmount, DrivingRegions, DrivingSmoothing, DrivingVideo
from app.render.finish import Finish
from app.render.knobs import Knob, check, settings
from app.render.order import PAUSE, Order
from app.render.rivals import check_rivals, require_unguided
from app.render.turns import Turn, Turns, TurnsFile, load_turns, read_turns
from audio2motion.gestures.emotion import EMOTIONS
from audio2motion.gestures.gestures import KINDS, Gesture
from audio2motion.gestures.ranges import AROUSAL, EXPRESSIVITY, INTENSITY, VALENCE
from audio2motion.gestures.style import STYLES
from audio2motion.gestures.text_limits import MAX_ADDRESS, MAX_CHARACTERS
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.natural import NATURAL
from audio2motion.voice.speakers import DEFAULT_VOICE
from motion2video.exchange import EXPORTS
from motion2video.media.video import MAX_FPS, MIN_FPS
from motion2video.motion import FPS, Motion
from motion2video.network.choices import Quality
from motion2video.reference.families import FamilyName
from weights.errors import InputError

if TYPE_CHECKING:
    from audio2motion.gestures.controls import Controls

Source = str | os.PathLike[str]
"""Where a file is."""
Notify = Callable[[str], None]
"""Called with one sentence for the user, such as which of two faces was taken."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, frames done and frames in all."""
Crop = Literal["full", "head"]
Mix = Literal["agent", "both"]
RendererName = Literal["embedded", FamilyName]

MIN_SIZE, MAX_SIZE = 64, 4096


@dataclass(frozen=True, eq=False, kw_only=True)
class MotionRequest:
    """Whose voices move the face, and how. Raises InputError for values that cannot be used.

    The agent's voice is a recording, a `text` that is spoken with `voice`, or what a
    language model answers to `ask`: see audio2motion.voice.endpoint for the fields `llm_*` and
    `speech_*`, where None is what the environment says; `persona` is told to the model too. The
    interlocutor is heard (`interlocutor_audio`), seen (`interlocutor_video`, whose sound is heard
    unless there is an audio), both or neither. Where both are heard, `order` says who speaks when;
    in turns the agent begins `pause` seconds after the interlocutor's last word. Words that are
    spoken here have 0.3 s of silence around them; before them only where nobody else is heard.

    A dialogue is given turn by turn instead, by `turns` or in a `turns_file`: see
    app/render/turns.py.

    Gestures are placed in seconds of the video; a transcript has the times of its recording.

    `emotion` with its `intensity`, or `valence` and `arousal`; `style`, or a `style_clip` whose
    style is followed. The codes in a text or reply ("[nod] Yes.") move the face too, unless
    `reply_codes` is off; an emotion given here wins over theirs. Where they have no gesture,
    gestures are found in the words of the text or reply, or in the `transcript` of the agent's
    recording, unless `auto_gestures` is off. What each field takes is in its Knob.

    A `driving_video` moves the face itself, all of it or some `driving_regions`, for as long as it
    lasts, and speaks for the agent unless there is an `agent_audio`: see app/render/driving.py.
    """

    agent_audio: Annotated[
        Source | Waveform | None,
        Knob(
            "What the agent says: any sound or video file (wav, mp3, ...).",
            kinds=("sound",),
            label="Recording of the agent's voice",
        ),
    ] = None
    text: Annotated[
        str | None,
        Knob("Words for the agent to say, instead of a recording.", longest=MAX_CHARACTERS),
    ] = None
    voice: Annotated[
        str,
        Knob(
            "Voice that says a text or reply: "
            + ", ".join(f"{v.name} ({'woman' if v.woman else 'man'})" for v in NATURAL.values())
            + ", or one of espeak-ng, e.g. de, en-gb+f3; `visavis voices` lists all."
        ),
    ] = DEFAULT_VOICE
    ask: Annotated[
        str | None,
        Knob("Ask a language model this; the agent speaks its reply.", longest=MAX_CHARACTERS),
    ] = None
    persona: Annotated[
        str | None,
        Knob("Who the agent is, for the model's system prompt.", longest=MAX_CHARACTERS),
    ] = None
    llm_url: Annotated[
        str | None,
        Knob(
            "OpenAI-compatible endpoint, e.g. http://localhost:8000/v1.",
            longest=MAX_ADDRESS,
            unset="VISAVIS_LLM_BASE_URL, OPENAI_BASE_URL",
            servers_own=True,
        ),
    ] = None
    llm_model: Annotated[
        str | None, Knob("Chat model.", unset="VISAVIS_LLM_MODEL", servers_own=True)
    ] = None
    llm_key_file: Annotated[
        Source | None,
        Knob(
            "File with the endpoint's key.",
            unset="VISAVIS_LLM_API_KEY, OPENAI_API_KEY",
            servers_own=True,
        ),
    ] = None
    speech_model: Annotated[
        str | None,
        Knob(
            "The endpoint's speech model.",
            unset="VISAVIS_SPEECH_MODEL, else the voice above speaks",
            servers_own=True,
        ),
    ] = None
    speech_voice: Annotated[
        str | None, Knob("Its voice.", unset="VISAVIS_SPEECH_VOICE, else alloy")
    ] = None
    reply_codes: Annotated[
        bool,
        Knob("Follow codes in brackets in what is said, such as nod; an emotion wins over them."),
    ] = True
    interlocutor_audio: Annotated[
        Source | Waveform | None,
        Knob("What the other person says.", kinds=("sound",), label="Their voice"),
    ] = None
    interlocutor_video: Annotated[
        Source | None,
        Knob(
            "The other person's face, which the agent sees; heard too, where their voice is not "
            "given.",
            kinds=("video",),
            label="Their face (its sound counts where there is no voice above)",
        ),
    ] = None
    order: Annotated[
        Order,
        Knob(
            "turns: they speak first, then the agent; together: both voices start at 0 s, as two "
            "tracks of one conversation do; auto: together for two recordings of one length, "
            "else turns.",
            label="Who speaks when",
        ),
    ] = "auto"
    pause: Annotated[
        float,
        Knob(
            "In turns, from their last word to the agent's first, and before each turn of a "
            "dialogue that has no pause of its own:",
            0.0,
            10.0,
            "seconds",
            label="Pause before the answer (s)",
        ),
    ] = PAUSE
    turns: Turns = None
    turns_file: TurnsFile = None
    driving_video: DrivingVideo = None
    driving_amount: DrivingAmount = 1.0
    driving_regions: DrivingRegions = "all"
    driving_smoothing: DrivingSmoothing = 0.02
    emotion: Annotated[str, Knob("What the face feels:", choices=EMOTIONS)] = "neutral"
    intensity: Annotated[float, Knob("Strength of the emotion:", *INTENSITY)] = 1.0
    valence: Annotated[
        float | None, Knob("From unpleasant to pleasant:", *VALENCE, unset="the emotion's")
    ] = None
    arousal: Annotated[
        float | None, Knob("From sleepy to excited:", *AROUSAL, unset="the emotion's")
    ] = None
    expressivity: Annotated[
        float, Knob("How much the face moves; at 0 blinks and lips alone:", *EXPRESSIVITY)
    ] = 1.0
    regions: Annotated[
        Mapping[str, float] | None,
        Knob(
            "Expressivity of mouth, brows, eyes or head alone, e.g. head=0.5:",
            *EXPRESSIVITY,
            option="--region",
        ),
    ] = None
    gaze: Annotated[
        str | tuple[float, float] | None,
        Knob("Where to look: camera, or degrees right and up, e.g. 10,-5."),
    ] = None
    style: Annotated[
        str | tuple[float, ...] | None, Knob("How to move:", choices=tuple(STYLES))
    ] = None
    style_clip: Annotated[
        Source | Motion | None,
        Knob(
            "Move like this motion file (.npz) or this person's video.", kinds=("motion", "video")
        ),
    ] = None
    gestures: Annotated[
        Sequence[str | Gesture] | None,
        Knob(
            "KIND@START[:DURATION][xINTENSITY], e.g. nod@3.2:0.8x1.5, wink/left@4; a kind is "
            f"{', '.join(KINDS[:-1])} or {KINDS[-1]}.",
            option="--gesture",
            label="Gestures, one a line: kind@start:length×intensity, as nod@1.2:0.8x1.5",
        ),
    ] = None
    gesture_file: Annotated[
        Source | None,
        Knob("Gestures in a JSON or CSV timeline.", option="--gestures", kinds=("text",)),
    ] = None
    transcript: Annotated[
        Source | Transcript | None,
        Knob(
            "What the agent's recording says (.json with word times, .srt, .vtt, .txt): gestures "
            "are found in it, as in a text.",
            kinds=("text",),
        ),
    ] = None
    auto_gestures: Annotated[
        bool,
        Knob(
            "Find gestures in what the agent says.",
            label="Also find gestures in the text (yes: a nod, no: a shake)",
        ),
    ] = True
    seed: Annotated[int, Knob("Another seed, another take; the same, the same:", 0, 2**31 - 1)] = 0

    def __post_init__(self) -> None:
        check(self)
        check_rivals(self)
        if self.turns is not None and not read_turns(self.turns):
            raise InputError("got a dialogue without turns; give at least one")
        _ = self.controls

    @property
    def driven_whole(self) -> bool:
        """Whether a video of one's own moves all of the face."""
        return self.driving_video is not None and self.driving_regions == "all"

    @property
    def has_turns(self) -> bool:
        """Whether a dialogue is given turn by turn."""
        return self.turns is not None or self.turns_file is not None

    @property
    def has_words(self) -> bool:
        """Whether a voice speaks here from words, or may."""
        return self.text is not None or self.ask is not None or self.has_turns

    @property
    def hears_both(self) -> bool:
        """Whether the other person's voice is heard, not only listened to."""
        return False

    def dialogue(self) -> tuple[Turn, ...]:
        """The turns, of which there are none without a dialogue. Raises as load_turns does."""
        if self.turns_file is not None:
            return load_turns(self.turns_file)
        return read_turns(self.turns or ())

    @property
    def emotion_given(self) -> bool:
        """Whether an emotion was asked for, by name or by valence and arousal: it wins over the
        codes of a reply.
        """
        named = self.emotion != type(self).emotion
        return named or self.valence is not None or self.arousal is not None

    @property
    def controls(self) -> "Controls":
        """The generator's controls, as far as they are known before a file is read; raises
        InputError for values that cannot be used.
        """
        from audio2motion.gestures.controls import Controls, named_style, parse_gaze, regions_of
        from audio2motion.gestures.timeline import parse_gesture

        return Controls(
            emotion=self.emotion,
            intensity=self.intensity,
            valence=self.valence,
            arousal=self.arousal,
            expressivity=self.expressivity,
            regions=regions_of(self.regions or {}),
            gaze=parse_gaze(self.gaze) if isinstance(self.gaze, str) else self.gaze,
            style=named_style(self.style) if isinstance(self.style, str) else self.style,
            gestures=tuple(
                parse_gesture(g) if isinstance(g, str) else g for g in self.gestures or ()
            ),
        )

    @property
    def has_voice(self) -> bool:
        """Whether there is anybody to hear or to see."""
        given = (self.agent_audio, self.text, self.ask)
        given += (self.interlocutor_audio, self.interlocutor_video, self.driving_video)
        return self.has_turns or any(item is not None for item in given)

    def require_voice(self) -> None:
        """Raise InputError when nothing was given that a motion could be made from."""
        if not self.has_voice:
            raise InputError(
                "nothing was given to move the face: give the agent's audio, a text, turns or "
                "a prompt, the interlocutor's audio or video, a driving video, or (for a video) a "
                "motion file"
            )

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that are read."""
        values = [getattr(self, s.name) for s in settings(type(self)) if s.is_file]
        said = [turn.recording for turn in read_turns(self.turns or ())]
        return tuple(Path(v) for v in (*values, *said) if isinstance(v, str | os.PathLike))

    def describe(self) -> dict[str, Any]:
        """Every field as a plain JSON value; sounds and arrays as a short description."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True, eq=False, kw_only=True)
class RenderRequest(Finish, MotionRequest):
    """A video: whose photo, and what moves it. Raises InputError for values that cannot be used.

    `motion` drives the face directly; the agent's audio is then only heard.
    """

    portrait: Annotated[
        Source | UInt8[np.ndarray, "H W C"],
        Knob("Photo of the agent (jpg, png, webp, ...).", kinds=("picture",), label="Photo"),
    ]
    motion: Annotated[
        Source | Motion | None,
        Knob(
            f"Motion file (.npz, or {' or '.join(EXPORTS)} of another program) that drives the "
            "face; audio is then only heard.",
            kinds=("motion",),
            label="Motion file instead of the voices' motion",
        ),
    ] = None
    size: Annotated[
        int,
        Knob(
            "Longer side of the video, at most:",
            MIN_SIZE,
            MAX_SIZE,
            "pixels",
            label="Longer side (px)",
        ),
    ] = 512
    fps: Annotated[float, Knob("Rate of the video:", MIN_FPS, MAX_FPS, "frames a second")] = FPS
    quality: Annotated[
        Quality,
        Knob(
            "How much work a frame is: draft (only moved, with dark mouths), live (what a "
            "conversation has), standard, or best (twice as long).",
            label="Quality",
        ),
    ] = "standard"
    renderer: Annotated[
        RendererName,
        Knob(
            "What draws: embedded, or a public checkpoint on a GPU, whose weights `visavis weights "
            "fetch` gets (extra `reference`).",
            label="Renderer",
        ),
    ] = "embedded"
    face: Annotated[
        str, Knob("Which face of the photo: largest, leftmost, or its number: 1 is at the left.")
    ] = "largest"
    crop: Annotated[Crop, Knob("Show the whole photo (full) or only the head.", label="Show")] = (
        "full"
    )
    mix: Annotated[
        Mix, Knob("Whose voice the video has: agent, or both.", label="Heard voices")
    ] = "agent"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_finish()
        self._check_drawn()
        numbered = self.face.isdecimal() and int(self.face) > 0
        if not (self.face in ("largest", "leftmost") or numbered):
            raise InputError(
                f"got the face {self.face!r}; wanted largest, leftmost or a number from 1"
            )
        if self.motion is None:
            self.require_voice()
        elif self.driving_video is not None:
            raise InputError(
                "got a driving video together with a motion file, which already says what the face "
                "does; give one or the other"
            )
        else:
            require_unguided(self, "a motion file", "give one or the other")

    def playing(self, motion: Motion) -> "RenderRequest":
        """The same video of a motion that was made for it, without sound and subtitles."""
        heard = {s.name: s.default for s in settings(MotionRequest) if s.name != "seed"}
        heard |= {"subtitles": "none", "trim": None}
        return replace(self, **heard, motion=motion, fps=motion.fps)

    @property
    def hears_both(self) -> bool:
        """Whether the other person's voice is in the video."""
        return self.mix == "both"

    def _check_drawn(self) -> None:
        """Raise InputError for what cannot be drawn of what is wanted."""
        own = self.background == "own" and self.background_picture is None
        if self.renderer != "embedded" and not own:
            kept = f"the renderer {self.renderer} keeps the photo's background"
            raise InputError(f"{kept}; another one is drawn by the renderer embedded alone")
        if self.subtitles != "none" and not self.has_words and self.transcript is None:
            wanted = "give a text, turns, a prompt, or a transcript of the agent's recording"
            raise InputError(f"got subtitles without words; {wanted}")


SERVERS_OWN = frozenset(s.name for s in settings(RenderRequest) if s.knob.servers_own)
"""Fields that no visitor of a server may give."""
FILE_KINDS = {s.name: s.knob.kinds for s in settings(RenderRequest) if s.knob.kinds}
"""Fields that a visitor may fill with a file, and what its content may be."""
