"""What drawing needs is told before it begins, with what would fit."""

from typing import Any

import pytest

from motion2video.reference.families import ANIMATE_ANYONE, ANIPORTRAIT
from motion2video.reference.memory import need, require_room
from motion2video.reference.settings import ReferenceConfig
from weights.errors import InputError

HALF, GB = 2, 10**9


def test_weights_are_those_of_all_networks() -> None:
    """Parameters in millions as documented; the autoencoder stays in fp32."""
    whole = need(ANIPORTRAIT, ReferenceConfig(), HALF).weights / 1e6
    assert whole == pytest.approx(2 * (1313.9 + 859.5 + 167.5 + 304 + 1.2) + 4 * 83.7, rel=1e-3)


def test_what_is_done_less_at_a_time_needs_less() -> None:
    whole = need(ANIPORTRAIT, ReferenceConfig(), HALF).total
    for less in (
        ReferenceConfig(window=8, overlap=2),
        ReferenceConfig(size=384),
        ReferenceConfig(guidance=1.0),
        ReferenceConfig(offload="model"),
    ):
        assert need(ANIPORTRAIT, less, HALF).total < whole
    assert need(ANIPORTRAIT, ReferenceConfig(together=3), HALF).total > whole
    model, layer = (
        need(ANIPORTRAIT, ReferenceConfig(offload=o), HALF) for o in ("model", "sequential")
    )
    assert layer.weights < model.weights / 10


def test_a_card_that_is_too_small_is_refused_with_flags_that_fit() -> None:
    require_room(ANIPORTRAIT, ReferenceConfig(), HALF, 24 * GB)
    with pytest.raises(InputError) as raised:
        require_room(ANIPORTRAIT, ReferenceConfig(), HALF, 6 * GB)
    said = str(raised.value)
    assert "6.0 GB are free" in said and "--offload model" in said
    flags = said.split("this would fit: ")[1].split(" (")[0].split()
    chosen: dict[str, Any] = dict(zip(flags[::2], flags[1::2], strict=True))
    fits = ReferenceConfig(
        offload=chosen["--offload"],
        window=int(chosen["--window"]) if "--window" in chosen else None,
        size=int(chosen.get("--resolution", 512)),
    )
    assert need(ANIPORTRAIT, fits, HALF).total <= 6 * GB


def test_what_would_fit_goes_with_the_overlap_that_was_chosen() -> None:
    """Half a window at most: a shorter one is told with its overlap."""
    chosen = ReferenceConfig(overlap=8, together=3)
    with pytest.raises(InputError, match="would fit: --together 1 "):
        require_room(ANIPORTRAIT, chosen, HALF, 10 * GB)
    with pytest.raises(InputError, match="--offload model --window 8 --overlap 4 "):
        require_room(ANIPORTRAIT, chosen, HALF, 4 * GB)


def test_windows_that_are_spread_need_less_of_each_gpu_and_every_gpu_is_asked() -> None:
    chosen = ReferenceConfig(together=4)
    one, two = (need(ANIPORTRAIT, chosen, HALF, devices) for devices in (1, 2))
    assert two.frames == one.frames / 2 and two.weights == one.weights
    require_room(ANIPORTRAIT, chosen, HALF, 24 * GB, 24 * GB)
    with pytest.raises(InputError, match=r"every further GPU, and 3.0 GB are free.*cuda:0"):
        require_room(ANIPORTRAIT, chosen, HALF, 24 * GB, 24 * GB, 3 * GB)


def test_where_nothing_fits_it_is_said() -> None:
    with pytest.raises(InputError, match="nothing that can be set"):
        require_room(ANIMATE_ANYONE, ReferenceConfig(), HALF, GB // 100)
