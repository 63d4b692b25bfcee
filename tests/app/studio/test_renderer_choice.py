"""The choice of a renderer is shown where there is one."""

from app.intake.limits import Limits
from app.studio.screens.form import Form, renderer_choice


def test_a_renderer_can_be_chosen_only_where_there_are_several() -> None:
    alone = renderer_choice(Limits())
    assert not alone["visible"] and alone["choices"] == ["embedded"] == [alone["value"]]
    several = renderer_choice(Limits(renderers=("embedded", "aniportrait")))
    assert several["visible"] and several["choices"] == ["embedded", "aniportrait"]


def test_what_is_chosen_draws() -> None:
    assert Form(photo="me.jpg").request().renderer == "embedded"
    assert Form(photo="me.jpg", renderer="aniportrait").request().renderer == "aniportrait"
