"""What the API takes follows from the request's fields, and nothing that is the server's own."""

from dataclasses import fields

import pytest

from app.api.schema import json_model, upload_fields, values_model
from app.jobs.record import file_fields
from app.render.request import FILE_KINDS, SERVERS_OWN, MotionRequest, RenderRequest


@pytest.mark.parametrize(("kind", "cls"), [("video", RenderRequest), ("motion", MotionRequest)])
def test_every_field_is_there(kind: str, cls: type[MotionRequest]) -> None:
    names = {field.name for field in fields(cls)} - SERVERS_OWN
    assert set(json_model(kind).model_fields) == names | {"recordings"}, "those of turns"
    assert set(values_model(kind).model_fields) == names - set(file_fields(kind))
    assert set(upload_fields(kind)) <= set(FILE_KINDS), "say what the content of a new file may be"


def test_no_field_is_an_address_or_a_path() -> None:
    """A new field whose name says so must be looked at: a visitor's address is fetched by us."""
    for name in values_model("video").model_fields:
        assert not {"url", "uri", "path", "file", "key", "host"} & set(name.split("_")), name
