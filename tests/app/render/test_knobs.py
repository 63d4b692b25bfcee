"""A setting is written once: whatever asks for it takes it from its field."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command

import app.api.schema as schema
import app.batch.manifest as manifest
from app.cli.option_group import takes
from app.render.knobs import Knob, by_name, check, settings
from app.render.loading import LoadSettings
from app.render.request import MotionRequest, RenderRequest
from app.studio.screens.form import component
from motion2video.network.compute import ComputeConfig
from weights.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Taller(RenderRequest):
    """A request that knows two things more."""

    height: Annotated[float, Knob("How tall the person is:", 0.5, 2.5, "m")] = 1.75
    day: Annotated[str | None, Knob("How the day was:", choices=("good", "bad"))] = None


def taller(**values: Any) -> Taller:
    return Taller(portrait="me.jpg", text="Hi", **values)


def test_a_new_field_is_an_option() -> None:
    seen: dict[str, Any] = {}

    def make(given: dict[str, Any]) -> None:
        seen.update(given)

    commands = typer.Typer(add_completion=False)
    commands.command()(takes("given", Taller)(make))
    command: Any = get_command(commands)
    options = {name: option for option in command.params for name in option.opts}
    assert options["--height"].help == "How tall the person is: 0.5 to 2.5 m."
    assert options["--height"].default == 1.75
    assert options["--day"].help == "How the day was: good or bad."
    words = ["--portrait", "me.jpg", "--height", "2", "--region", "head=0.5", "--no-auto-gestures"]
    command.main(words, standalone_mode=False)
    assert seen["height"] == 2.0 and seen["portrait"] == Path("me.jpg") and seen["day"] is None
    assert seen["regions"] == {"head": 0.5} and seen["auto_gestures"] is False


def test_a_new_field_is_a_column_of_a_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "RenderRequest", Taller)
    words = manifest.Schema()
    assert {"height", "day"} <= set(words.words)
    assert words.read("height", "2") == 2.0
    with pytest.raises(InputError, match="wanted a number"):
        words.read("height", "tall")


def test_a_new_field_is_in_the_schema_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "RenderRequest", Taller)
    schema.values_model.cache_clear()
    try:
        told = schema.values_model("video").model_json_schema()["properties"]
    finally:
        schema.values_model.cache_clear()
    assert told["height"]["description"] == "How tall the person is: 0.5 to 2.5 m."
    assert (told["height"]["minimum"], told["height"]["maximum"]) == (0.5, 2.5)
    assert told["day"]["anyOf"][0]["enum"] == ["good", "bad"]
    assert all(field["description"] for field in told.values())


def test_a_new_field_is_told_to_a_component_of_the_studio() -> None:
    wanted = {"label": "Height", "minimum": 0.5, "maximum": 2.5}
    assert component("height", Taller, info=False) == wanted
    assert component("height", Taller)["info"] == "How tall the person is"
    assert component("size")["label"] == by_name(RenderRequest)["size"].knob.label
    assert component("day", Taller)["choices"] == ["good", "bad"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"height": 3.0}, "got the height 3.0; wanted 0.5 to 2.5 m"),
        ({"height": float("nan")}, "got the height nan"),
        ({"day": "so so"}, "got the day 'so so'; wanted good or bad"),
        ({"day": "x" * 201}, "got a day of 201 characters; at most 200 are taken"),
    ],
)
def test_what_a_field_says_is_what_is_taken(values: dict[str, Any], said: str) -> None:
    assert taller(height=2.5, day="bad").height == 2.5
    with pytest.raises(InputError, match=said):
        taller(**values)


def test_what_computes_is_told_as_it_is_without_being_told() -> None:
    assert LoadSettings().compute == ComputeConfig()
    chosen: dict[str, Any] = {"backend": "torch", "threads": 2, "compile": True}
    assert LoadSettings(**chosen).compute == ComputeConfig(**chosen)


def test_a_choice_is_one_of_its_type() -> None:
    with pytest.raises(InputError, match="got the crop 'body'; wanted full or head"):
        by_name(RenderRequest)["crop"].check("body")


@pytest.mark.parametrize("kind", [MotionRequest, RenderRequest, LoadSettings])
def test_every_field_says_what_it_is(kind: type) -> None:
    told = {setting.name: setting.help for setting in settings(kind)}
    assert list(told) == [field.name for field in dataclasses.fields(kind)]
    assert all(text.endswith(".") for text in told.values()), told


def test_a_field_without_a_knob_is_a_mistake() -> None:
    made = dataclasses.make_dataclass("Made", [("size", int, 1)])
    with pytest.raises(TypeError, match="the field size of Made has no Knob"):
        check(made())
