"""The map of the code: what it counts, and what it says of this project."""

from pathlib import Path

import pytest

from scripts.rooms import Way, _circles, _depths, as_markdown, as_text, read_map, walk

ROOT = Path(__file__).parents[2]


def test_circles_are_found():
    """a -> b -> c -> a is one; d, which only points at them, is in none."""
    assert _circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert _circles({"a": {"b"}, "b": set()}) == []


def test_floors():
    assert _depths({"top": {"middle", "ground"}, "middle": {"ground"}}) == {
        "ground": 0,
        "middle": 1,
        "top": 2,
    }


def test_a_climb_is_a_step_upwards():
    way = Way("w", [("app.cli.x", "f"), ("motion2video.y.z", "g"), ("app.cli.x", "h")])
    assert way.places == 2
    assert way.climbs({"app.cli": 2, "motion2video.y": 1}) == 1


def test_the_map_of_this_project(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT))
    rooms, circles = read_map(ROOT)
    assert circles == []
    by_name = {room.name: room for room in rooms}
    assert by_name["app.cli"].modules > 3
    assert by_name["motion2video.media"].about
    assert all(by_name[arrow] for room in rooms for arrow in room.arrows)
    text, table = as_text(rooms, circles), as_markdown(rooms, circles)
    assert "circles: 0" in text
    assert all(f"`{name}`" in table for name in by_name)


@pytest.mark.slow
def test_the_four_ways(monkeypatch: pytest.MonkeyPatch):
    """Each begins at what a user calls and ends at the kernel: at most six functions from a facade,
    four of the command line.
    """
    from scripts.rooms import BLOCK, KERNEL, LIVE

    monkeypatch.chdir(ROOT)
    ways = {way.name.split(":")[0]: way for way in walk(ROOT, KERNEL, BLOCK, LIVE)}
    assert set(ways) == {"a voice", "a portrait", "a batch row", "a live frame"}
    for name, way in ways.items():
        assert way.stops[-1][1] == (BLOCK if name == "a voice" else KERNEL).partition(":")[2]
        own = [module for module, _ in way.stops if module.startswith("app.cli.")]
        assert len(own) <= 4, f"{name}: {own}"
    facades = {
        "a voice": "MotionGenerator.step",
        "a portrait": "Avatar.render",
        "a batch row": "Avatar.render",
        "a live frame": "LiveSession.push",
    }
    for name, facade in facades.items():
        functions = [function for _, function in ways[name].stops]
        assert len(functions) - functions.index(facade) <= 6, f"{name}: {functions}"
