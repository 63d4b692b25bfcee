"""The arithmetic of SyncNet and I3D, on made-up files of the published layouts: nobody may pass on
the real ones.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.evaluation.syncing import sync_figures
from app.quality.distributions import frechet
from app.quality.standard import I3D_SIDE, I3d
from app.quality.syncnet import (
    REACH,
    SIDE,
    SyncNet,
    SyncNetwork,
    SyncScore,
    cepstra,
    cut_faces,
    score,
)
from weights.errors import InputError, WeightsError

LAYERS = {
    "netcnnaud.0.weight": (64, 1, 3, 3),
    "netcnnaud.4.weight": (192, 64, 3, 3),
    "netcnnaud.8.weight": (384, 192, 3, 3),
    "netcnnaud.11.weight": (256, 384, 3, 3),
    "netcnnaud.14.weight": (256, 256, 3, 3),
    "netcnnaud.18.weight": (512, 256, 5, 4),
    "netcnnaud.19.running_var": (512,),
    "netcnnlip.0.weight": (96, 3, 5, 7, 7),
    "netcnnlip.4.weight": (256, 96, 1, 5, 5),
    "netcnnlip.8.weight": (256, 256, 1, 3, 3),
    "netcnnlip.18.weight": (512, 256, 1, 6, 6),
    "netfcaud.0.weight": (512, 512),
    "netfcaud.3.weight": (1024, 512),
    "netfclip.1.running_mean": (512,),
    "netfclip.3.bias": (1024,),
}
"""Some of the names and shapes of syncnet_v2.model."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up weights, without the counters that older files have not."""
    torch.manual_seed(0)
    state = SyncNetwork().state_dict()
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.model"
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)
    return path


def test_the_file_has_the_published_layout_and_others_are_refused(
    file: Path, tmp_path: Path
) -> None:
    state = torch.load(file, weights_only=True)
    assert {name: tuple(state[name].shape) for name in LAYERS} == LAYERS and len(state) == 88
    with pytest.raises(InputError, match=r"syncnet_v2\.model"):
        SyncNet.load(tmp_path / "none")
    torch.save({**state, "more": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(WeightsError, match="other layers, more"):
        SyncNet.load(tmp_path / "other")
    (tmp_path / "text").write_text("no model")
    with pytest.raises(WeightsError, match="is not SyncNet's"):
        SyncNet.load(tmp_path / "text")


@pytest.mark.parametrize("late", [-7, 0, 4])
def test_sound_that_is_moved_moves_the_offset_and_nothing_else(late: int) -> None:
    rng = torch.Generator().manual_seed(1)
    whole = torch.randn(120, 1024, generator=rng)
    seen, heard = whole[10:110], whole.roll(late, 0)[10:110]
    found = score(seen, heard)
    assert found.offset == -late
    assert found.distance < 0.2 * found.confidence and found.confidence > 30


def test_confidence_is_the_median_less_the_least_distance() -> None:
    """Constant features: beyond the sound there are zeros, so that shift k misses |k| of n."""
    n, length = 200, 1024**0.5
    found = score(torch.ones(n, 1024), torch.ones(n, 1024))
    assert found.offset == 0 and found.distance == pytest.approx(0, abs=1e-3)
    missed = sorted(abs(k) for k in range(-REACH, REACH + 1))[REACH]
    assert found.confidence == pytest.approx(length * missed / n, rel=1e-3)


def test_cepstra_are_those_of_python_speech_features() -> None:
    """Row 10 of what version 0.6 of the package makes of this sound."""
    noise = np.random.default_rng(0).normal(size=16001) * 0.1
    found = cepstra(np.convolve(noise, np.ones(5) / 5, "same"))
    assert found.shape == (99, 13)
    wanted = [19.038, -16.45, -15.621, -20.66, -2.277, 6.626, -16.659, 15.284, 8.932, -11.388]
    assert found[10].round(3).tolist() == [*wanted, 4.786, -18.207, -4.614]
    assert cepstra(np.zeros(401)).shape == (2, 13) and np.isfinite(cepstra(np.zeros(401))).all()


def test_faces_and_sounds_go_in_by_the_frame(file: Path) -> None:
    """Five frames at once beside twenty rows of sound; BGR; batches do not count."""
    judge, rng = SyncNet.load(file), np.random.default_rng(0)
    faces = list(rng.integers(0, 255, (9, SIDE, SIDE, 3), np.uint8))
    samples = (rng.normal(size=9 * 640) * 0.1).astype(np.float32)
    found = judge.features(faces, samples)
    assert found is not None and found[0].shape == found[1].shape == (4, 1024)
    with torch.inference_mode():
        film = torch.from_numpy(np.stack(faces[2:7])[..., ::-1].copy()).permute(3, 0, 1, 2)[None]
        sound = torch.from_numpy(cepstra(samples)[8:28].T.astype(np.float32))[None, None]
        torch.testing.assert_close(found[0][2:3], judge.network.see(film.float()))
        torch.testing.assert_close(found[1][2:3], judge.network.hear(sound))
    assert judge.features(faces[:5], samples) is None, "too short to tell"


def test_a_face_is_cut_as_the_authors_do() -> None:
    """With 0.4 of its half around it, and twice that below; grey beyond the picture."""
    frame = np.zeros((400, 400, 3), np.uint8)
    frame[200:300, 100:200] = (255, 0, 0)
    (face,) = cut_faces(iter([frame]), [(100.0, 200.0, 200.0, 300.0)])
    red = np.argwhere(face[..., 0] > 128)
    scale = SIDE / 140
    (top, left), (bottom, right) = red.min(0), red.max(0)
    assert (top, left) == (0, pytest.approx(20 * scale, abs=1.5))
    assert (bottom, right) == (
        pytest.approx(100 * scale, abs=1.5),
        pytest.approx(120 * scale, 0.02),
    )
    (edge,) = cut_faces(iter([frame]), [(-100.0, 0.0, 0.0, 100.0)])
    assert edge[50, 5].tolist() == [110, 110, 110]


def test_the_rows_of_the_table() -> None:
    good, bad = SyncScore(7.0, 6.5, 0), SyncScore(1.0, 12.0, 3)
    rows = sync_figures((good, bad), (SyncScore(8.0, 6.0, 0), bad))
    assert (rows["all", "Sync-C"].made, rows["all", "Sync-C"].real) == (7.0, 8.0)
    assert (rows["all", "Sync-D"].made, rows["all", "Sync-D"].floor) == (6.5, 12.0)
    assert sync_figures(None, None) == {}
    assert np.isnan(sync_figures((good, bad), None)["all", "Sync-C"].real)


class Logits(torch.nn.Module):
    """In the place of I3D: the means of both halves in time, with the options of the real file."""

    def forward(
        self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool
    ) -> torch.Tensor:
        """[b, 2] of [b, 3, t, h, w]."""
        assert return_features and not rescale and not resize
        half = x.shape[2] // 2
        return torch.stack(
            [x[:, :, :half].mean((1, 2, 3, 4)), x[:, :, half:].mean((1, 2, 3, 4))], 1
        )


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # the published file is so
def test_fvd_is_the_frechet_distance_of_logits(tmp_path: Path) -> None:
    path = tmp_path / "i3d_torchscript.pt"
    torch.jit.script(Logits()).save(str(path))
    network = I3d(path)
    clip = [np.full((40, 30, 3), 255 * (k >= 8), np.uint8) for k in range(16)]
    (logits,) = network.features(clip)
    assert logits.tolist() == pytest.approx([-1, 1], abs=0.15), "-1 to 1, trilinear in time"
    assert network.features(clip[:9]) == [] and I3D_SIDE == 224
    rng = np.random.default_rng(0)
    made = rng.normal(size=(4000, 2))
    assert frechet(made, made + np.array([3.0, 4.0])) == pytest.approx(25, rel=1e-6)
    assert frechet(made, 2 * made) == pytest.approx(2, rel=0.1)
