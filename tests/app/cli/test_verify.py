"""`visavis verify`: one sentence and an exit code for each verdict."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.cli.commands import main
from app.provenance.origin import Provenance
from motion2video.media.video import VideoWriter
from tests.app.provenance.making import CONSENT, SIDE, coded_again, made
from tests.app.serving import small_avatar

pytest.importorskip("c2pa", reason="the extra `provenance` is not installed")


@pytest.mark.weights("face_landmarker", "face_basis", "autoencoder", "denoiser")
def test_each_verdict_is_a_sentence_and_an_exit_code(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker = replace(small_avatar(), provenance=Provenance(folder=tmp_path / "keys"))
    video, strange = tmp_path / "a.mp4", tmp_path / "strange.mp4"
    told = made(maker, portrait, video, consent=CONSENT)["provenance"]
    assert told["watermark"] and (told["signed"], told["consent"]) == ("embedded", CONSENT)
    with VideoWriter(strange, (SIDE, SIDE)) as writer:
        writer.write(np.random.default_rng(0).integers(0, 255, (5, SIDE, SIDE, 3), np.uint8))
    (tmp_path / "junk.mp4").write_bytes(b"junk")
    where = ["--provenance-dir", str(tmp_path / "keys")]
    for path, code, words in (
        (video, 0, "made here with Visavis and is untouched"),
        (coded_again(video, tmp_path / "again.mp4"), 3, f"its mark {told['id']} is in the log"),
        (strange, 4, "neither our mark nor credentials"),
    ):
        assert main(["verify", str(path), *where]) == code
        said = capsys.readouterr().out.strip()
        assert words in said and "\n" not in said
    assert main(["verify", str(tmp_path / "junk.mp4"), *where]) == 2
    capsys.readouterr()
    assert main(["verify", str(video), "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["record"]["consent"] == CONSENT
