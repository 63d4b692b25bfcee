"""Weights files: what is saved comes back, and the bytes are the same each time."""

from pathlib import Path

import numpy as np
import pytest

from tests.weights.conftest import sha256
from weights import load_safetensors, read_safetensors, save_safetensors
from weights.errors import OutputError, WeightsError
from weights.tensors import read_made

TENSORS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([0.5, -2.0], dtype=np.float16),
    "steps": np.array(7, dtype=np.int64),
}
CONFIG = {"width": 96, "names": ["a", "b"], "nested": {"rate": 0.5}, "text": 'à "b"'}


def test_round_trip(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    save_safetensors(path, TENSORS, CONFIG)
    tensors, config = read_safetensors(path)
    assert config == CONFIG
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(tensors[name], tensor)
    assert list(tmp_path.iterdir()) == [path]


def test_how_a_file_was_made_is_beside_its_configuration(tmp_path: Path):
    save_safetensors(tmp_path / "a", TENSORS, CONFIG, {"seed": 3, "inputs": {"x": "1"}})
    save_safetensors(tmp_path / "b", TENSORS, CONFIG)
    assert read_made(tmp_path / "a") == {"seed": 3, "inputs": {"x": "1"}}
    assert read_safetensors(tmp_path / "a")[1] == CONFIG and read_made(tmp_path / "b") == {}
    (tmp_path / "c").write_text("no tensors here, but long enough")
    with pytest.raises(WeightsError, match="cannot read"):
        read_made(tmp_path / "c")


def test_a_transposed_view_keeps_its_values(tmp_path: Path):
    save_safetensors(tmp_path / "a", {"t": TENSORS["weight"].T}, {})
    np.testing.assert_array_equal(read_safetensors(tmp_path / "a")[0]["t"], TENSORS["weight"].T)


def test_same_input_same_bytes(tmp_path: Path):
    save_safetensors(tmp_path / "a", TENSORS, {"x": 1, "y": 2})
    save_safetensors(tmp_path / "b", dict(reversed(TENSORS.items())), {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_by_role_the_hash_is_checked(make_manifest):
    manifest = make_manifest(file="a.safetensors")
    path = manifest.root / "a.safetensors"
    save_safetensors(path, TENSORS, CONFIG)
    with pytest.raises(WeightsError, match="update_manifest"):
        load_safetensors("sample", manifest)
    data = path.read_bytes()
    manifest = make_manifest(file="a.safetensors", sha256=sha256(data), size=len(data))
    assert load_safetensors("sample", manifest)[1] == CONFIG


def test_bad_files(tmp_path: Path):
    from safetensors.numpy import save_file

    with pytest.raises(WeightsError, match="cannot read"):
        read_safetensors(tmp_path / "none")
    (tmp_path / "text").write_text("no tensors here, but long enough")
    with pytest.raises(WeightsError, match="cannot read"):
        read_safetensors(tmp_path / "text")
    save_file(TENSORS, tmp_path / "bare")
    with pytest.raises(WeightsError, match="no configuration"):
        read_safetensors(tmp_path / "bare")
    save_file(TENSORS, tmp_path / "broken", metadata={"config": "{"})
    with pytest.raises(WeightsError, match="no configuration"):
        read_safetensors(tmp_path / "broken")
    save_file(TENSORS, tmp_path / "list", metadata={"config": "[1]"})
    with pytest.raises(WeightsError, match="not an object"):
        read_safetensors(tmp_path / "list")


def test_cannot_write(tmp_path: Path):
    with pytest.raises(OutputError, match="cannot write"):
        save_safetensors(tmp_path / "none" / "a", TENSORS, CONFIG)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        save_safetensors(tmp_path / "folder", TENSORS, CONFIG)
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
