"""Finding, checking and fetching weights: real files, a real server, no mocks."""

import os
import pwd
import socket
import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.weights.conftest import sha256
from weights import cache_dir, fetch, find, load_manifest, locate, verify
from weights.errors import OutputError, WeightsError

DATA = b"some weights " * 1000


@pytest.fixture
def embedded(make_manifest):
    """A manifest whose role is embedded, and its sound file."""
    manifest = make_manifest(file="sample.bin", sha256=sha256(DATA), size=len(DATA))
    path = manifest.root / "sample.bin"
    path.write_bytes(DATA)
    return manifest, path


def test_finds_an_embedded_file(embedded):
    manifest, path = embedded
    assert locate("sample", manifest) == find("sample", manifest) == path
    assert fetch("sample", manifest) == path


def test_missing_embedded_file(embedded):
    manifest, path = embedded
    path.unlink()
    assert locate("sample", manifest) is None
    with pytest.raises(WeightsError, match=r"missing.*sample\.bin"):
        find("sample", manifest)


def test_wrong_hash(embedded):
    manifest, path = embedded
    path.write_bytes(DATA[:-1] + b"!")
    with pytest.raises(WeightsError, match=f"wanted {sha256(DATA)}"):
        find("sample", manifest)


def test_truncated_file(embedded):
    manifest, path = embedded
    path.write_bytes(DATA[:-1])
    with pytest.raises(WeightsError, match=f"{len(DATA) - 1} bytes, but .* {len(DATA)}"):
        find("sample", manifest)


def test_a_change_after_the_first_check_is_seen(embedded):
    manifest, path = embedded
    find("sample", manifest)
    path.write_bytes(DATA[:-1] + b"!")
    os.utime(path, ns=(1, 1))  # another time stamp, whatever the file system's resolution
    with pytest.raises(WeightsError, match="SHA-256"):
        find("sample", manifest)


def test_verify_hashes_again(embedded):
    manifest, path = embedded
    find("sample", manifest)
    stat = path.stat()
    path.write_bytes(DATA[:-1] + b"!")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert find("sample", manifest) == path  # same size and time: trusted within a process
    with pytest.raises(WeightsError, match="SHA-256"):
        verify("sample", manifest)


def test_unset_hash_of_an_embedded_file(make_manifest):
    manifest = make_manifest(file="sample.bin", sha256="0" * 64, size=0)
    (manifest.root / "sample.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"update_manifest\.py"):
        find("sample", manifest)


def test_missing_download_says_how_to_get_it(make_manifest):
    manifest = make_manifest(url="https://example.org/a.bin")
    with pytest.raises(WeightsError, match="visavis weights fetch sample"):
        find("sample", manifest)


def test_fetch(make_manifest, server, cache: Path):
    address, folder = server
    (folder / "a.bin").write_bytes(DATA)
    manifest = make_manifest(url=f"{address}/a.bin", sha256=sha256(DATA), size=len(DATA))
    seen: list[tuple[int, int]] = []
    path = fetch("sample", manifest, progress=lambda done, total: seen.append((done, total)))
    assert path == cache / "sample" / "a.bin" == find("sample", manifest)
    assert path.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    (folder / "a.bin").unlink()
    assert fetch("sample", manifest) == path  # already there: no request is made


def test_fetch_replaces_a_bad_copy(make_manifest, server, cache: Path):
    address, folder = server
    (folder / "a.bin").write_bytes(DATA)
    manifest = make_manifest(url=f"{address}/a.bin", sha256=sha256(DATA), size=len(DATA))
    (cache / "sample").mkdir(parents=True)
    (cache / "sample" / "a.bin").write_bytes(b"half a fi")
    with pytest.raises(WeightsError, match="9 bytes"):
        find("sample", manifest)
    assert fetch("sample", manifest).read_bytes() == DATA


@pytest.mark.parametrize("sent", [DATA[:-1] + b"!", DATA[:100], DATA + b"more", b""])
def test_fetch_keeps_nothing_with_a_wrong_hash(make_manifest, server, cache: Path, sent: bytes):
    address, folder = server
    (folder / "a.bin").write_bytes(sent)
    manifest = make_manifest(url=f"{address}/a.bin", sha256=sha256(DATA), size=len(DATA))
    with pytest.raises(WeightsError, match="is not the weights"):
        fetch("sample", manifest)
    assert list((cache / "sample").iterdir()) == []


def test_fetch_not_found(make_manifest, server, cache: Path):
    manifest = make_manifest(url=f"{server[0]}/none.bin")
    with pytest.raises(WeightsError, match=r"could not download.*404"):
        fetch("sample", manifest)
    assert list((cache / "sample").iterdir()) == []


def test_fetch_offline(make_manifest, cache: Path):
    with socket.socket() as held:  # bound, but nobody listens: the connection is refused
        held.bind(("127.0.0.1", 0))
        manifest = make_manifest(url=f"http://127.0.0.1:{held.getsockname()[1]}/a.bin")
        with pytest.raises(WeightsError, match="connect to the network") as caught:
            fetch("sample", manifest)
    assert str(cache / "sample" / "a.bin") in str(caught.value)  # where to put it by hand
    assert list((cache / "sample").iterdir()) == []


def test_cache_that_cannot_be_written(make_manifest, cache: Path):
    cache.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="VISAVIS_CACHE"):
        fetch("sample", make_manifest(url="https://example.org/a.bin"))


MEMBERS = {"a.onnx": b"first", "b.onnx": b"second"}
HASHES = {name: sha256(data) for name, data in MEMBERS.items()}


def zip_of(path: Path, files: dict[str, bytes]) -> tuple[str, int]:
    """Write a zip; its hash and size."""
    with zipfile.ZipFile(path, "w") as pack:
        for name, data in files.items():
            pack.writestr(name, data)
    return sha256(path.read_bytes()), path.stat().st_size


@pytest.fixture
def pack(make_manifest, server):
    """Makes a manifest whose role is a served zip of these files."""

    def make(files: dict[str, bytes]):
        digest, size = zip_of(server[1] / "pack.zip", files)
        url = f"{server[0]}/pack.zip"
        return make_manifest(url=url, sha256=digest, size=size, members=HASHES)

    return make


@pytest.mark.parametrize("prefix", ["", "pack/"])
def test_fetch_pack(pack, cache: Path, prefix: str):
    manifest = pack({prefix + n: d for n, d in MEMBERS.items()} | {"readme.txt": b"not wanted"})
    folder = fetch("sample", manifest)
    assert folder == cache / "sample" / "pack" == find("sample", manifest)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == MEMBERS
    assert list(folder.parent.iterdir()) == [folder]  # neither the zip nor a staging folder stays


def test_pack_put_there_by_hand(pack, server, cache: Path):
    manifest = pack(MEMBERS)
    (cache / "sample").mkdir(parents=True)
    (server[1] / "pack.zip").rename(cache / "sample" / "pack.zip")
    assert fetch("sample", manifest) == cache / "sample" / "pack"
    assert (cache / "sample" / "pack.zip").exists()  # the user's own file is left alone


def test_pack_with_a_changed_or_missing_member(pack):
    manifest = pack(MEMBERS)
    folder = fetch("sample", manifest)
    (folder / "a.onnx").write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"a\.onnx is not the file"):
        verify("sample", manifest)
    (folder / "a.onnx").unlink()
    with pytest.raises(WeightsError, match=r"cannot read .*a\.onnx"):
        find("sample", manifest)
    assert fetch("sample", manifest) == verify("sample", manifest)


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt"])
def test_pack_with_an_unsafe_path(pack, cache: Path, name: str):
    manifest = pack(MEMBERS | {name: b"evil"})
    with pytest.raises(WeightsError, match="unsafe path"):
        fetch("sample", manifest)
    assert [p for p in cache.parent.rglob("*") if "evil" in p.name] == []
    assert list((cache / "sample").iterdir()) == []


def test_pack_without_a_member(pack):
    with pytest.raises(WeightsError, match=r"does not hold 'b\.onnx'"):
        fetch("sample", pack({"a.onnx": MEMBERS["a.onnx"]}))


def test_pack_that_is_no_zip(make_manifest, server):
    (server[1] / "pack.zip").write_bytes(DATA)
    manifest = make_manifest(
        url=f"{server[0]}/pack.zip", sha256=sha256(DATA), size=len(DATA), members=HASHES
    )
    with pytest.raises(WeightsError, match="not a sound zip"):
        fetch("sample", manifest)


def test_cache_dir_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("VISAVIS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "visavis"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "visavis"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache_dir() == tmp_path / "home" / ".cache" / "visavis"


def test_cache_dir_of_somebody_without_a_home(monkeypatch: pytest.MonkeyPatch):
    def nobody(_: int):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for variable in ("VISAVIS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "")
    assert cache_dir() == Path(tempfile.gettempdir()) / "visavis-cache"


def test_every_embedded_file_is_there_and_sound():
    embedded = [role for role in load_manifest().roles.values() if role.embedded]
    assert len(embedded) == 14
    for role in embedded:
        assert verify(role.name).stat().st_size == role.size
