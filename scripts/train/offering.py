"""Folders of weights that VISAVIS_MANIFEST may name: files, and a manifest with their hashes."""

from collections.abc import Collection, Mapping
from pathlib import Path

from scripts.update_manifest import updated
from weights.manifest import MANIFEST_PATH, Manifest
from weights.saving import save_whole


def offer(folder: Path, files: Mapping[str, Path], manifest: Manifest) -> Path:
    """Make a folder have these `files`, by role, and no other weights, with their manifest, whose
    place it returns. What else the manifest says of the roles is that of `manifest`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = {role: manifest.role(role).file for role in files}
    for role, path in files.items():
        save_whole(folder / names[role], path.read_bytes(), "the weights")
    for old in set(folder.glob("*.safetensors")) - {folder / name for name in names.values()}:
        old.unlink()
    text = (manifest.root / MANIFEST_PATH.name).read_text(encoding="utf-8")
    roles = {role: manifest.role(role) for role in files}
    text, _ = updated(_only(text, roles), Manifest(roles, folder))
    return save_whole(folder / MANIFEST_PATH.name, text.encode(), "the manifest")


def _only(text: str, names: Collection[str]) -> str:
    """A manifest with the tables of some roles alone."""
    head, *tables = text.split("\n[")
    return "\n[".join([head, *(t for t in tables if t.partition("]")[0].split(".")[0] in names)])
