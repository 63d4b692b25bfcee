"""The first screen's form: what of a request can be set there, and what a choice is of."""

from dataclasses import asdict, fields
from typing import Any, get_args

import pytest

from app.intake.limits import Limits
from app.render.demo import ASSETS
from app.render.finish import Format
from app.render.knobs import by_name
from app.render.request import SERVERS_OWN, RenderRequest
from app.studio.creation import file_name
from app.studio.screens import markup
from app.studio.screens.form import (
    FORM_FIELDS,
    PUPPET_FIELDS,
    Form,
    PuppetForm,
    background_choices,
    component,
    format_choices,
    from_values,
    label_of,
    renderer_choice,
    sample_of,
    suited,
    voice_choices,
)
from app.studio.screens.live import voices_of
from app.studio.screens.presets import PRESETS, Preset, preset_of, told
from audio2motion.voice.speakers import QUICK_VOICE
from weights.errors import InputError


def test_a_renderer_can_be_chosen_only_where_there_are_several() -> None:
    alone = renderer_choice(Limits())
    assert not alone["visible"] and alone["choices"] == ["embedded"] == [alone["value"]]
    several = renderer_choice(Limits(renderers=("embedded", "aniportrait")))
    assert several["visible"] and several["choices"] == ["embedded", "aniportrait"]


def test_what_is_chosen_draws() -> None:
    assert Form(photo="me.jpg").request().renderer == "embedded"
    assert Form(photo="me.jpg", renderer="aniportrait").request().renderer == "aniportrait"


def test_who_only_listens_is_not_silent_unless_it_is_wanted() -> None:
    """The video of somebody who says nothing has the other's voice."""
    listens = {"photo": "me.jpg", "says": "nothing", "interlocutor_audio": "you.wav"}
    assert Form(**listens).request().mix == "both"  # pyrefly: ignore[bad-argument-type]
    assert Form(**listens, mix="agent").request().mix == "agent"  # pyrefly: ignore[bad-argument-type]
    assert Form(photo="me.jpg", interlocutor_audio="you.wav").request().mix == "agent"
    with pytest.raises(InputError, match="nobody is heard yet"):
        Form(photo="me.jpg", says="nothing").request()


def test_every_preset_has_a_name_and_can_be_made() -> None:
    for name, preset in PRESETS.items():
        assert preset_of(*told(preset)) == name
        assert Form(photo="me.jpg", **asdict(preset)).request().expressivity == preset.expressivity
    assert preset_of(*told(Preset(expressivity=0.123))) is None


def test_a_video_is_called_after_what_is_in_it() -> None:
    written = Form(photo="a/Anna B.jpg", text="[nod] Hello, my dear friend; how are you? " * 9)
    assert file_name(written.request()) == "anna-b-nod-hello-my-dear-friend-how-are-you-nod"
    recorded = Form(photo="me.jpg", says="a recording", agent_audio="b/Talk 1.wav")
    assert file_name(recorded.request()) == "me-talk-1"
    listens = Form(photo="me.jpg", says="nothing", interlocutor_audio="you.wav")
    assert file_name(listens.request()) == "me-listens"
    assert len(file_name(Form(photo="x" * 99, text="Hi.").request())) <= 48


def test_screens_have_words_of_their_own() -> None:
    """What the command line calls agent and interlocutor."""
    shown = [name for name in FORM_FIELDS if name in SETTINGS and name not in ("mix", "turns")]
    said = [component(name).get("info", "") + label_of(name) for name in shown]
    said.append(markup.alert("the interlocutor's audio and the agent's are not of one length"))
    assert not [text for text in said if "interlocutor" in text or "agent" in text]
    parts = (ASSETS / "studio" / "live").iterdir()
    live = "".join(part.read_text(encoding="utf-8") for part in parts)
    assert not [word for word in ("photon", "barge-in</", "a chunk<") if word in live]


def test_voices_are_natural_ones_first_and_can_be_heard() -> None:
    shown, names = zip(*voice_choices(), strict=True)
    assert Form.voice == names[0] == "heart" and "woman" in shown[0]
    assert sample_of("de").seconds > 1.0
    with pytest.raises(InputError, match="no voice 'martian'"):
        sample_of("martian")


def test_an_example_has_a_voice_that_suits_it_unless_one_was_chosen() -> None:
    assert suited("man_3", "heart") == "michael"
    assert suited("woman_2", "michael") == suited("default", "michael") == "heart"
    assert suited("man_3", "emma") == "emma", "a visitor's own choice"


def test_a_live_portrait_has_a_voice_that_keeps_up() -> None:
    for cores, wanted in ((2, "en-us+f4"), (8, "heart")):
        voices = voices_of(cores)
        assert voices[0][0] == QUICK_VOICE
        assert next(name for name, _, sex, quick in voices if sex == "woman" and quick) == wanted


SETTINGS = by_name(RenderRequest)
ELSEWHERE = {
    "ask": "the language model writes the text, which the visitor reads before it is said",
    "persona": "goes with ask",
    "speech_voice": "goes with ask: what a visitor has read is said by espeak-ng",
    "reply_codes": "codes that a visitor writes into a text are meant",
    "valence": "the emotions are the eight that have a name",
    "arousal": "as valence",
    "gaze": "looks are placed in time, as gestures",
    "style_clip": "the styles are those that have a name",
    "gesture_file": "gestures are written, one a line",
    "transcript": "of a recording; a text is its own",
    **dict.fromkeys(
        ("driving_video", "driving_amount", "driving_regions", "driving_smoothing"),
        "the screen Puppet has them",
    ),
    "fps": "25, the rate at which motion is made; others are for those who cut the video",
    **dict.fromkeys(SERVERS_OWN, "whoever runs the server sets it"),
}
"""Settings that the form has not, and why; the command line, the API and batches have them."""


def test_every_setting_is_in_the_form_or_left_out_on_purpose() -> None:
    """Set everything on the screen to something else, and see what of the request has changed."""
    every = {
        "photo": "me.jpg",
        "face": "leftmost",
        "text": "Hi.",
        "voice": "de",
        "agent_audio": "a.wav",
        "interlocutor_audio": "b.wav",
        "interlocutor_video": "c.mp4",
        "order": "turns",
        "pause": 1.0,
        "emotion": "anger",
        "intensity": 0.5,
        "expressivity": 0.5,
        "by_region": True,
        "style": "calm",
        "gestures": "nod@1",
        "auto_gestures": False,
        "renderer": "aniportrait",
        "quality": "draft",
        "size": 128,
        "crop": "head",
        "mix": "both",
        "new_seed": False,
        "seed": 7,
        "aspect": "9:16",
        "trim": " 0:1",
        "format": "webm",
        "label": "made with AI",
        "consent": "I am the person shown",
    }
    asked = [
        Form(**every).request(),  # pyrefly: ignore[bad-argument-type]
        Form(**every, says="a recording").request(),  # pyrefly: ignore[bad-argument-type]
        Form(photo="me.jpg", says="a dialogue").request(),
        Form(photo="me.jpg", motion="m.npz", says="nothing").request(),
        Form(photo="me.jpg", background="blur", subtitles="burned").request(),
        Form(photo="me.jpg", background="blur", background_picture="beach.jpg").request(),
    ]
    plain = {field.name: field.default for field in fields(RenderRequest)}
    reached = {
        name
        for request in asked
        for name, default in plain.items()
        if getattr(request, name) != default
    }
    assert reached | set(ELSEWHERE) == set(plain)
    assert reached & set(ELSEWHERE) == set()


def test_a_colour_is_picked_for_the_background() -> None:
    for picked in ("#20a060", "rgba(32, 160, 96, 1)", "rgb(32,160.2,96)"):
        form = Form(photo="me.jpg", background="colour", background_colour=picked)
        assert form.request().background == "#20a060"
    with pytest.raises(InputError, match="background"):
        Form(photo="me.jpg", background="colour", background_colour="red").request()
    asked = {
        Form(photo="me.jpg", background=value).request().background
        for _, value in background_choices()
    }
    assert asked == {"own", "blur", "#20a060", "transparent"}


def test_the_kind_of_file_is_what_fits_unless_one_is_chosen() -> None:
    def suffix(**fields: Any) -> str:
        return Form(photo="me.jpg", **fields).request().suffix

    assert [value for _, value in format_choices()] == ["auto", *get_args(Format)]
    assert (suffix(), suffix(background="transparent")) == (".mp4", ".webm")
    assert suffix(background="transparent", format="mov") == ".mov"
    with pytest.raises(InputError, match=r"cannot be transparent, which \.mp4 files never are"):
        suffix(background="transparent", format="mp4")


def test_the_screen_puppet_asks_for_all_of_a_driving_video() -> None:
    given = {
        "photo": "me.jpg",
        "driving_video": "d.mp4",
        "driving_regions": "head",
        "driving_amount": 2,  # a slider at its end
        "driving_smoothing": 0.1,
        "size": "128",
    }
    form = from_values([given.get(name) for name in PUPPET_FIELDS], PuppetForm)
    asked = form.request()
    driving = {name: getattr(asked, name) for name in ELSEWHERE if name.startswith("driving")}
    assert driving == {name: given[name] for name in driving} and asked.size == 128
    assert form.files == ("me.jpg", "d.mp4")
    with pytest.raises(InputError, match="no video yet"):
        PuppetForm(photo="me.jpg").request()
    assert "driving_video" not in FORM_FIELDS
