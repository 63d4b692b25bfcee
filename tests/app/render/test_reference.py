"""A public checkpoint is asked for as the embedded renderer is: tiny networks, the whole path."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.cli.commands import main
from app.intake.allowance import require_allowed
from app.intake.limits import Limits
from app.jobs.plan import Pace, make_plan
from app.render.loading import LoadSettings, offered
from app.render.parts import Later
from app.render.pipeline import Avatar
from app.render.request import RenderRequest
from motion2video.geometry.basis import FaceBasis
from motion2video.media.video import probe
from motion2video.motion import Motion
from motion2video.network.compute import ComputeConfig
from motion2video.reference import requirements
from motion2video.reference.renderer import ReferenceRenderer
from motion2video.reference.settings import ReferenceConfig
from tests.app.serving import small_avatar
from tests.motion2video.reference import tiny
from weights.errors import InputError, LimitError
from weights.installation import how_to_add


def tiny_reference() -> ReferenceRenderer:
    family, compute = tiny.FAMILIES["aniportrait"], ComputeConfig(device="cpu")
    config = ReferenceConfig(size=64)
    return ReferenceRenderer(family, config, compute, FaceBasis.load(), tiny.networks())


@pytest.fixture(scope="module")
def drawing() -> Avatar:
    return replace(small_avatar(), references={"aniportrait": Later(tiny_reference)})


@pytest.mark.slow
@pytest.mark.weights("face_landmarker", "autoencoder", "denoiser")
def test_a_checkpoint_draws_a_video(drawing: Avatar, portrait: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    motion, out = Motion.neutral(9), tmp_path / "out.mp4"
    result = drawing.animate(
        portrait=portrait,
        motion=motion,
        size=96,
        renderer="aniportrait",
        seed=4,
        out=out,
        progress=lambda what, done, total: seen.append((done, total)),
    )
    assert probe(out).frames == result.frames == 9 and result.size == (96, 96)
    assert seen[-1] == (9, 9)
    settings = result.settings
    assert (settings["renderer"], settings["backend"]) == ("aniportrait", "diffusers")
    assert (settings["steps"], settings["window"], settings["guidance"]) == (2, 4, 3.5)
    request = RenderRequest(portrait=portrait, motion=motion, size=96, renderer="aniportrait")
    frames = list(drawing.frames(request))
    embedded = list(drawing.frames(replace(request, renderer="embedded")))
    assert len(frames) == len(embedded) == 9
    assert not np.array_equal(frames[0], embedded[0])


def test_what_is_not_offered_is_refused(drawing: Avatar, portrait: Path) -> None:
    request = RenderRequest(portrait=portrait, text="Hi", renderer="animate-anyone")
    with pytest.raises(InputError, match="not offered here; wanted embedded, aniportrait"):
        drawing.drawing(request)
    with pytest.raises(LimitError, match="not offered here; wanted embedded"):
        require_allowed(request, Limits())
    require_allowed(request, Limits(renderers=("embedded", "animate-anyone")))


def test_without_a_gpu_a_server_offers_the_embedded_one_alone() -> None:
    assert offered(LoadSettings(device="cpu")) == ("embedded",)


def test_without_weights_the_command_that_fetches_them_is_said(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path))
    motion = Motion.neutral(2).save(tmp_path / "m.npz")
    words = ["render", "--portrait", portrait, "--motion", motion, "--out", tmp_path / "o.mp4"]
    words += ["--renderer", "aniportrait", "--device", "cpu"]
    assert main([str(word) for word in words]) == 2
    assert "run `visavis weights fetch aniportrait`" in capsys.readouterr().err
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    assert main([str(word) for word in words]) == 2
    assert how_to_add("reference") in capsys.readouterr().err
    assert main(["weights", "fetch", "aniportrait"]) == 2
    assert how_to_add("reference") in capsys.readouterr().err


def test_weights_that_are_not_fetched_are_listed_and_do_not_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path))
    monkeypatch.delenv("VISAVIS_WEIGHTS_DIR", raising=False)
    assert main(["weights", "verify", "aniportrait"]) == 2
    out, err = capsys.readouterr()
    assert "AniPortrait" in out and "visavis weights fetch aniportrait" in err


def test_options_reach_the_checkpoint() -> None:
    chosen = LoadSettings(guidance_interval="0.2,0.8", resolution=384, window=12, offload="model")
    assert chosen.reference == ReferenceConfig(
        guidance_interval=(0.2, 0.8), size=384, window=12, offload="model"
    )
    with pytest.raises(InputError, match="two numbers"):
        _ = LoadSettings(guidance_interval="half").reference


def test_a_plan_tells_of_the_gpu_and_learns_by_renderer(portrait: Path) -> None:
    pace = Pace()
    request = RenderRequest(portrait=portrait, motion=Motion.neutral(50))
    slow = make_plan(replace(request, renderer="aniportrait"), pace)
    assert slow.gpu_mb > 5000 and "GB of the GPU's" in str(slow)
    plain = make_plan(request, pace)
    assert plain.gpu_mb == 0 and slow.work_s > 10 * plain.work_s
    small = Pace(ReferenceConfig(size=256, steps=10, offload="model"))
    less = make_plan(replace(request, renderer="aniportrait"), small)
    assert less.gpu_mb < slow.gpu_mb / 2 and less.work_s < slow.work_s / 4, "as the server draws"
    pace.learn(50, 512, 4 * slow.work_s, "aniportrait")
    assert make_plan(replace(request, renderer="aniportrait"), pace).work_s > 2 * slow.work_s
    assert make_plan(request, pace).work_s == plain.work_s
