"""Files in stores: fsspec's memory, and an S3 server on loopback."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.batch import storage
from app.batch.batch import Batch, EngineOptions
from tests.app.batch.conftest import make_rows, write_manifest
from weights.errors import DependencyError, InputError, MediaError, OutputError


@pytest.mark.parametrize(
    ("address", "folder", "wanted"),
    [
        ("a.wav", "/data", "/data/a.wav"),
        ("../a.wav", "/data/x", "/data/a.wav"),
        ("/a.wav", "/data", "/a.wav"),
        ("file:///a.wav", "/data", "/a.wav"),
        ("a.wav", "s3://bucket/x", "s3://bucket/x/a.wav"),
        ("../a.wav", "s3://bucket/x", "s3://bucket/a.wav"),
        ("gs://b/a.wav", "s3://bucket/x", "gs://b/a.wav"),
    ],
)
def test_addresses_are_seen_from_the_manifest(address: str, folder: str, wanted: str) -> None:
    assert storage.resolve(address, folder) == wanted


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    import fsspec

    yield "memory://visavis-test"
    store = fsspec.filesystem("memory")
    if store.exists("/visavis-test"):
        store.rm("/visavis-test", recursive=True)


@pytest.fixture(params=["here", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "there") if request.param == "here" else request.getfixturevalue("memory")


def test_a_file_appears_whole(place: str, tmp_path: Path) -> None:
    address = storage.join(place, "a/b.bin")
    assert not storage.exists(address) and storage.size(address) is None
    storage.write_bytes(address, b"one", tmp_path)
    before = storage.stamp(address)
    assert storage.read_bytes(address) == b"one" and storage.size(address) == 3
    hashed = storage.content_hash(address)
    storage.write_bytes(address, b"two", tmp_path)
    assert storage.stamp(address) != before and storage.content_hash(address) != hashed
    copy = storage.fetch(address, tmp_path / "copy")
    assert copy.read_bytes() == b"two" and storage.parent(address) == storage.join(place, "a")
    storage.remove_tree(storage.join(place, "a"))
    assert not storage.exists(address)
    with pytest.raises(MediaError, match="there is no file"):
        storage.read_bytes(address)
    with pytest.raises(MediaError, match="there is no file"):
        storage.stamp(address)


def test_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing that fsspec knows"):
        storage.exists("abacus://x/y")
    import fsspec

    def missing(address: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(DependencyError, match=r" install .*\[s3\]"):
        storage.exists("s3://x/y")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        storage.write_bytes(str(tmp_path / "file" / "below"), b"", tmp_path)


def upload(folder: Path, place: str, count: int) -> str:
    """A manifest with all that it names in a store; its address."""
    rows = make_rows(folder, count)
    manifest = write_manifest(folder / "rows.jsonl", rows)
    for path in [manifest, folder / "portrait.png", *folder.glob("motion*.npz")]:
        storage.write_bytes(storage.join(place, f"in/{path.name}"), path.read_bytes(), folder)
    return storage.join(place, "in/rows.jsonl")


def require_resumable(batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made once; skipped afterwards, on another machine too; nothing else is left in the store."""
    import fsspec

    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path / "cache"))
    count = len(storage.read_bytes(batch.manifest).splitlines())
    assert batch.run().made == count
    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path / "other-cache"))
    again = batch.run()
    assert (again.made, again.skipped) == (0, count)
    store, path = fsspec.core.url_to_fs(batch.out)
    names = {name.rpartition("/")[2] for name in store.find(path)}
    videos = {f"{row:06d}.mp4" for row in range(1, count + 1)}
    assert names == {"ledger.sqlite", "report.html", "report.json"} | videos


def test_a_batch_in_a_store(
    make_batch: Callable[..., Batch], memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch(1)
    manifest = upload(tmp_path, memory, 2)
    batch = replace(batch, manifest=manifest, out=f"{memory}/out")
    require_resumable(batch, tmp_path, monkeypatch)
    assert batch.estimate().wanted == 0


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of moto's server on loopback."""
    pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir(f"studio-{port}")  # moto's buckets live as long as this process
    yield f"s3://studio-{port}/batch"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of boto and its server
@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_on_s3(
    make_batch: Callable[..., Batch],
    s3: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    """Workers in this process and in others; a long video in parts too."""
    from app.batch.driver import BatchConfig

    batch = replace(
        make_batch(1),
        manifest=upload(tmp_path, s3, 3),
        out=f"{s3}/out-{workers}",
        engine=EngineOptions(workers=workers),
    )
    require_resumable(batch, tmp_path, monkeypatch)
    report = json.loads(storage.read_bytes(f"{s3}/out-{workers}/report.json"))
    assert report["summary"]["done"] == 3
    if not workers:
        parts = replace(
            batch, out=f"{s3}/parts", defaults={"size": 64, "fps": 3.0},
            config=BatchConfig(split=1.0),
        )  # fmt: skip
        assert parts.run().complete
