"""What a visitor has set on the first screen, as plain values, and the request it stands for."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, cast, get_args

from app.intake.allowance import require_allowed, require_text
from app.intake.limits import Limits
from app.render.driving import Driven
from app.render.finish import Aspect, Format, Subtitles
from app.render.knobs import by_name
from app.render.order import Order
from app.render.request import FILE_KINDS, Crop, Mix, RendererName, RenderRequest
from app.studio.made import Sheet
from app.studio.screens import markup
from app.studio.turn_rows import FIRST_ROWS, recordings_of, turns_of
from app.studio.workshop import Workshop
from audio2motion.gestures.controls import REGIONS
from audio2motion.gestures.gestures import Gesture
from audio2motion.gestures.timeline import parse_gesture
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.speakers import (
    DEFAULT_VOICE,
    MANS_VOICE,
    SAMPLE_TEXT,
    find_speaker,
    list_speakers,
)
from motion2video.network.choices import Quality
from weights.errors import InputError

Says = Literal["a text", "a recording", "a dialogue", "nothing"]
Heard = Literal["auto", "agent", "both"]
Kept = Format | Literal["auto"]
GREETING = "Hello! It is lovely to meet you. What shall we talk about?"
"""So that a photo is all that a visitor needs to bring."""
COLOUR = "colour"
"""The background is a colour, which another field has."""
_PART = r"\s*([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*"
_RGB = re.compile(rf"rgba?\({_PART},{_PART},{_PART}[,)]")
_SEEDS = 1_000_000
_SAMPLES = 16
"""Sounds of voices that are kept: a second of work and 0.2 MB each."""
_FILES = (
    *("agent_audio", "interlocutor_audio", "interlocutor_video", "motion"),
    "background_picture",
)
FORM_FILES = {"photo": FILE_KINDS["portrait"], **{name: FILE_KINDS[name] for name in _FILES}}
"""Fields that are files, and what the content of each may be."""
_NO_PHOTO = "there is no photo yet: give one, or take one of the examples"


@dataclass(frozen=True, eq=False, kw_only=True)
class Form:
    """The first screen, field by field; what RenderRequest knows has its default. Paths are of
    files that the server itself has stored. `by_region` says whether the four regions count.
    """

    kinds: ClassVar = FORM_FILES
    photo: str | None = None
    face: str | None = None
    says: Says = "a text"
    text: str = GREETING
    voice: str = RenderRequest.voice
    agent_audio: str | None = None
    turns: str = FIRST_ROWS
    interlocutor_audio: str | None = None
    interlocutor_video: str | None = None
    order: Order = RenderRequest.order
    pause: float = RenderRequest.pause
    emotion: str = RenderRequest.emotion
    intensity: float = RenderRequest.intensity
    expressivity: float = RenderRequest.expressivity
    by_region: bool = False
    mouth: float = 1.0
    brows: float = 1.0
    eyes: float = 1.0
    head: float = 1.0
    style: str = ""
    gestures: str = ""
    auto_gestures: bool = RenderRequest.auto_gestures
    motion: str | None = None
    renderer: RendererName = RenderRequest.renderer
    quality: Quality = RenderRequest.quality
    size: int = RenderRequest.size
    crop: Crop = RenderRequest.crop
    mix: Heard = "auto"
    new_seed: bool = True
    seed: int = RenderRequest.seed
    background: str = RenderRequest.background
    background_colour: str = "#20a060"
    background_picture: str | None = None
    aspect: Aspect = RenderRequest.aspect
    subtitles: Subtitles = RenderRequest.subtitles
    trim: str = ""
    format: Kept = "auto"
    label: str = ""
    consent: str = ""

    def request(self) -> RenderRequest:
        """The request; a seed is drawn when `new_seed`. Raises InputError."""
        if not self.photo:
            raise InputError(_NO_PHOTO)
        given, talk = self.motion or None, self.says == "a dialogue"
        guided = (
            {}
            if given
            else {
                "emotion": self.emotion,
                "intensity": float(self.intensity),
                "expressivity": float(self.expressivity),
                "regions": {r: float(getattr(self, r)) for r in REGIONS}
                if self.by_region
                else None,
                "style": self.style or None,
                "gestures": parse_gestures(self.gestures),
                "interlocutor_video": None if talk else self.interlocutor_video or None,
                "auto_gestures": bool(self.auto_gestures),
            }
        )
        speaks = self.says == "a text"
        if speaks and not (self.text or "").strip():
            raise InputError("there is no text to say: write one, or choose a recording instead")
        if self.says == "a recording" and not self.agent_audio:
            raise InputError("there is no recording yet: record one, or upload it")
        heard = (self.interlocutor_audio, self.interlocutor_video)
        if self.says == "nothing" and not any((given, *heard)):
            raise InputError(
                "nobody is heard yet: let the person say something, or give the other's voice"
            )
        other = None if talk else self.interlocutor_audio or None
        picture = self.background_picture or None
        return RenderRequest(
            portrait=self.photo,
            face=self.face or RenderRequest.face,
            text=self.text if speaks else None,
            turns=turns_of(self.turns) if talk else None,
            voice=self.voice if speaks or talk else RenderRequest.voice,
            agent_audio=self.agent_audio if self.says == "a recording" else None,
            interlocutor_audio=other if not given or self.heard == "both" else None,
            order=RenderRequest.order if talk else self.order,
            pause=float(self.pause),
            motion=given,
            size=int(self.size),
            renderer=self.renderer,
            quality=self.quality,
            crop=self.crop,
            mix=self.heard,
            background=RenderRequest.background if picture else self.behind,
            background_picture=picture,
            aspect=self.aspect,
            subtitles=self.subtitles,
            trim=self.trim.strip() or None,
            format=None if self.format == "auto" else self.format,
            label=self.label.strip() or None,
            consent=self.consent.strip() or None,
            seed=secrets.randbelow(_SEEDS) if self.new_seed else int(self.seed),
            **cast(Any, guided),
        )

    @property
    def heard(self) -> Mix:
        """Whose voice the video has: the person's, and the other's too in a dialogue, or where they
        say nothing.
        """
        if self.mix == "auto":
            return "both" if self.says in ("nothing", "a dialogue") else "agent"
        return self.mix

    @property
    def behind(self) -> str:
        """The background as a request has it."""
        return hex_colour(self.background_colour) if self.background == COLOUR else self.background

    @property
    def texts(self) -> dict[str, str]:
        """What was written, by its name."""
        return {"text": self.text or "", "list of gestures": self.gestures or ""}

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are read."""
        return (*_files(self), *self.recordings)

    @property
    def recordings(self) -> tuple[str, ...]:
        """The files among its turns."""
        return recordings_of(self.turns) if self.says == "a dialogue" else ()


@dataclass(frozen=True, eq=False, kw_only=True)
class PuppetForm:
    """The screen on which a video of one's own drives the photo, as Form is the first one."""

    kinds: ClassVar = {
        "photo": FILE_KINDS["portrait"],
        "driving_video": FILE_KINDS["driving_video"],
        "agent_audio": FILE_KINDS["agent_audio"],
    }
    photo: str | None = None
    face: str | None = None
    driving_video: str | None = None
    driving_regions: Driven = RenderRequest.driving_regions
    driving_amount: float = RenderRequest.driving_amount
    driving_smoothing: float = RenderRequest.driving_smoothing
    agent_audio: str | None = None
    quality: Quality = RenderRequest.quality
    size: int = RenderRequest.size
    crop: Crop = RenderRequest.crop

    def request(self) -> RenderRequest:
        """The request. Raises InputError."""
        if not self.photo:
            raise InputError(_NO_PHOTO)
        if not self.driving_video:
            raise InputError("there is no video yet: upload one, or record yourself")
        return RenderRequest(
            portrait=self.photo,
            face=self.face or RenderRequest.face,
            driving_video=self.driving_video,
            driving_regions=self.driving_regions,
            driving_amount=self.driving_amount,
            driving_smoothing=self.driving_smoothing,
            agent_audio=self.agent_audio or None,
            quality=self.quality,
            size=self.size,
            crop=self.crop,
        )

    @property
    def texts(self) -> dict[str, str]:
        """What was written: nothing."""
        return {}

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are read."""
        return _files(self)

    @property
    def recordings(self) -> tuple[str, ...]:
        """Files beside those of its fields: none."""
        return ()


Filled = Form | PuppetForm
Kind = TypeVar("Kind", bound=Form | PuppetForm)
PUPPET_FIELDS = tuple(field.name for field in fields(PuppetForm))
FORM_FIELDS = tuple(field.name for field in fields(Form))
_TYPES = {field.name: field.type for kind in (PuppetForm, Form) for field in fields(kind)}


def component(name: str, kind: type = RenderRequest, *, info: bool = True) -> dict[str, Any]:
    """What the component of a setting is told: label, value, the range or choices that it has, and
    its help as `info` where it takes one.
    """
    setting = by_name(kind)[name]
    told: dict[str, Any] = {"label": markup.plain(setting.label)}
    if name in FORM_FIELDS:
        told["value"] = getattr(Form, name)
    if info:
        told["info"] = markup.plain(setting.knob.help.rstrip(":"))
    if setting.knob.low is not None:
        told |= {"minimum": setting.knob.low, "maximum": setting.knob.high}
    if setting.choices:
        told["choices"] = list(setting.choices)
    return told


def label_of(name: str) -> str:
    """What a setting is called on the screens."""
    return markup.plain(by_name(RenderRequest)[name].label)


def default_form(limits: Limits) -> Form:
    """What the first screen shows at first, as far as the server makes it."""
    return Form(size=min(Form.size, limits.max_size))


def _files(form: Filled) -> tuple[str, ...]:
    return tuple(path for name in form.kinds if (path := getattr(form, name)))


def sheet_of(form: Filled) -> Sheet:
    """What was filled in, as it is kept beside what was made of it."""
    values = {field.name: getattr(form, field.name) for field in fields(form)}
    files = {name: path for name in form.kinds if (path := values[name])}
    return Sheet(type(form).__name__, values, files)


def form_of(sheet: Sheet, **changed: Any) -> Filled:
    """The form that was filled in so, with other values for some of its fields."""
    kind = {kind.__name__: kind for kind in (Form, PuppetForm)}[sheet.screen]
    return kind(**{**sheet.form, **changed})


def request_of(form: Filled, workshop: Workshop) -> RenderRequest:
    """The request of a form whose files have been looked at; the only way from one to the other.

    Raises an InputError, which may name a path, for files or values that cannot be used, and
    LimitError for more than this server takes.
    """
    limits = workshop.limits
    for name, text in form.texts.items():
        require_text(name, text, limits.max_text)
    for name, wanted in form.kinds.items():
        if (path := getattr(form, name)) is not None:
            workshop.files.require(Path(path), wanted)
    for path in form.recordings:
        workshop.files.require(Path(path), FILE_KINDS["agent_audio"])
    request = form.request()
    require_allowed(request, limits)
    return request


def parse_gestures(text: str) -> tuple[Gesture, ...]:
    """Gestures written one a line, or with blanks or semicolons between: `nod@1.2 smile@3:2x0.5`.

    Raises InputError for one that cannot be read.
    """
    return tuple(parse_gesture(part) for part in re.split(r"[\s;]+", text or "") if part)


def add_gesture(text: str, kind: str, start: float, duration: float, intensity: float) -> str:
    """The same text with one more gesture. Raises InputError."""
    gesture = f"{kind}@{start:g}:{duration:g}x{intensity:g}"
    parse_gesture(gesture)
    return "\n".join([*filter(None, [text.strip()]), gesture])


def renderer_choice(limits: Limits) -> dict[str, Any]:
    """What the component of the renderer is told; it is shown where there is a choice."""
    offered = list(limits.renderers)
    return {**component("renderer"), "choices": offered, "visible": len(offered) > 1}


def background_choices() -> list[tuple[str, str]]:
    """(shown, value) of what is behind the person."""
    return [
        ("as in the photo", "own"),
        ("the photo, blurred", "blur"),
        ("a colour", COLOUR),
        ("nothing (transparent)", "transparent"),
    ]


def hex_colour(picked: str) -> str:
    """What a colour picker gives, `#rrggbb` or `rgba(r, g, b, a)`, as the former."""
    found = _RGB.match(picked)
    if found is None:
        return picked
    return "#" + "".join(f"{min(255, round(float(part))):02x}" for part in found.groups())


def heard_choices() -> list[tuple[str, Heard]]:
    """(shown, value) of whose voices a video has."""
    return [("as it fits", "auto"), ("the person's", "agent"), ("both", "both")]


def format_choices() -> list[tuple[str, Kept]]:
    """(shown, value) of the kinds of file; what fits is mp4, or webm for what is transparent."""
    return [("as it fits", "auto"), *((kind, kind) for kind in get_args(Format))]


def style_choices() -> list[tuple[str, str]]:
    """(shown, name) of the styles."""
    styles = by_name(RenderRequest)["style"].choices
    return [("the network's own", ""), *((style, style) for style in styles)]


@cache
def voice_choices() -> list[tuple[str, str]]:
    """(shown, name) of the voices, favourites first."""
    return [(f"{voice.label} ({voice.name})", voice.name) for voice in list_speakers()]


def suited(example: str, voice: str) -> str:
    """The voice for an example portrait of this name: that of a man or a woman, as it shows, unless
    the visitor has chosen another than these.
    """
    wanted = MANS_VOICE if example.startswith("man") else DEFAULT_VOICE
    return wanted if voice in (MANS_VOICE, DEFAULT_VOICE) else voice


@lru_cache(_SAMPLES)
def sample_of(voice: str) -> Waveform:
    """A sentence in a voice. Raises InputError for one that there is not."""
    by_name(RenderRequest)["voice"].check(voice)
    return find_speaker(voice).say(SAMPLE_TEXT)[0]


def from_values(values: Sequence[Any], kind: type[Kind] = Form) -> Kind:
    """A form from the values of its components, in the order of its fields; an empty field (a
    cleared number, a closed picker) has its default. Raises InputError for what is no number.
    """
    given = zip((field.name for field in fields(kind)), values, strict=True)
    return kind(**{name: typed(name, value) for name, value in given if value is not None})


def typed(name: str, value: Any) -> Any:
    """A component's value as the field's type: a slider at 1 gives an int, a typed size a text."""
    kind = _TYPES[name]
    if kind not in (int, float):
        return value
    try:
        return kind(float(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"got the {name.replace('_', ' ')} {value!r}; wanted a number") from error
