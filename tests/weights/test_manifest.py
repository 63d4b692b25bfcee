"""The manifest's schema is strict, and the project's own manifest obeys it."""

from pathlib import Path

import pytest

from weights import load_manifest
from weights.errors import WeightsError
from weights.manifest import MANIFEST_PATH, MANIFEST_VARIABLE, is_inside

EMBEDDED_LIMIT = 40_000_000


def test_reads_every_key(make_manifest):
    role = make_manifest(
        url="https://example.org/a.zip", optional=True, members={"a.onnx": "2" * 64}
    ).role("sample")
    assert (role.name, role.size, role.licence, role.optional) == ("sample", 3, "CC0-1.0", True)
    assert role.is_pack and not role.embedded
    assert role.members == {"a.onnx": "2" * 64}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"file": "a", "sha265": "x"}, "unknown key 'sha265'"),
        ({"file": "a", "licence": None}, "licence is missing"),
        ({"file": "a", "licence": ""}, "licence is missing"),
        ({"file": "a", "size": "3"}, "wants a int"),
        ({"file": "a", "optional": 1}, "wants a bool"),
        ({}, "exactly one of file and url"),
        ({"file": "a", "url": "https://example.org/a"}, "exactly one of file and url"),
        ({"file": "a", "members": {"a": "1" * 64}}, "no members"),
        ({"file": "a", "sha256": "abc"}, "64 lower-case hex"),
        ({"file": "a", "sha256": "A" * 64}, "64 lower-case hex"),
        ({"url": "https://example.org/a", "sha256": "0" * 64}, "only an embedded role"),
        ({"url": "https://example.org/a", "size": 0}, "size must be given"),
        ({"url": "http://example.org/a"}, "https"),
        ({"url": "file:///etc/passwd"}, "https"),
        ({"url": "https://example.org/"}, "name of a file"),
        ({"file": "../a"}, "stay inside"),
        ({"file": "/a"}, "stay inside"),
        ({"url": "https://example.org/a", "members": {"a": "1" * 64}}, "must name a .zip"),
        ({"url": "https://example.org/a.zip", "members": {"../a": "1" * 64}}, "stay inside"),
        ({"url": "https://example.org/a.zip", "members": {"a": "1"}}, "every member"),
    ],
)
def test_refuses(make_manifest, keys, said):
    with pytest.raises(WeightsError, match=said):
        make_manifest(**keys)


def test_missing_and_broken_manifest(tmp_path: Path):
    with pytest.raises(WeightsError, match="cannot read"):
        load_manifest(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("[a\n")
    with pytest.raises(WeightsError, match="not valid TOML"):
        load_manifest(tmp_path / "broken.toml")
    (tmp_path / "stray.toml").write_text("a = 1\n")
    with pytest.raises(WeightsError, match="only \\[role\\] tables"):
        load_manifest(tmp_path / "stray.toml")


def test_unknown_role_names_the_known_ones(make_manifest):
    with pytest.raises(WeightsError, match=r"'simple'.*sample"):
        make_manifest(file="a").role("simple")


@pytest.mark.parametrize("name", ["/a", "../a", "a/../../b", "a\\..\\b", "C:/a"])
def test_unsafe_paths(name: str):
    assert not is_inside(name)


def test_the_project_names_its_roles():
    roles = load_manifest().roles
    assert set(roles) >= {
        "autoencoder",
        "denoiser",
        "face_basis",
        "face_landmarker",
        "identity",
        "insightface_buffalo_l",
        "motion_generator",
        "speech_encoder",
    }
    assert "non-commercial" in roles["insightface_buffalo_l"].licence
    assert roles["insightface_buffalo_l"].optional


def test_embedded_weights_have_cards_and_stay_small():
    manifest = load_manifest()
    embedded = [role for role in manifest.roles.values() if role.embedded]
    for role in embedded:
        assert (manifest.root / role.card).is_file(), f"{role.name} has no model card {role.card}"
    assert sum(role.size for role in embedded) <= EMBEDDED_LIMIT
    listed = {role.file for role in embedded}
    assert {path.name for path in manifest.root.glob("*.safetensors")} <= listed


def test_another_manifest_is_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = MANIFEST_PATH.read_text(encoding="utf-8").partition("\n[autoencoder]")[0]
    (tmp_path / "manifest.toml").write_text(text)
    monkeypatch.setenv(MANIFEST_VARIABLE, str(tmp_path / "manifest.toml"))
    assert load_manifest().root == tmp_path and [*load_manifest().roles] == ["face_basis"]
    assert load_manifest(MANIFEST_PATH).root == MANIFEST_PATH.parent
    monkeypatch.setenv(MANIFEST_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(WeightsError, match="none"):
        load_manifest()
    monkeypatch.setenv(MANIFEST_VARIABLE, "")
    assert load_manifest().root == MANIFEST_PATH.parent
