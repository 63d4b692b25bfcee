"""Is a motion distributed like another? Frames [T, d] of what was made and of what really happened.

Papers scale these figures differently and compute them with other face models; compare within one.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from weights.errors import DependencyError, InputError

STS_SCALE = 0.1
"""What squared speeds are divided by in `sts`."""
DIVERSITY_PAIRS = 100


def frechet(made: Float[np.ndarray, "n d"], real: Float[np.ndarray, "m d"]) -> float:
    """|mean - mean|^2 + tr(A + B - 2 (A B)^(1/2)) of two Gaussians (Dowson and Landau 1982).

    tr (A B)^(1/2) is found by symmetric matrices alone, which holds for singular ones too: a clip
    may have fewer frames than dimensions. Raises InputError for fewer than two frames.
    """
    if min(len(made), len(real)) < 2:
        raise InputError(f"got {len(made)} and {len(real)} frames to compare; wanted 2 or more")
    apart = made.mean(0) - real.mean(0)
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (made, real))
    values, vectors = np.linalg.eigh(first)
    half = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(half @ second @ half).clip(min=0)).sum()
    return float(max(0.0, apart @ apart + np.trace(first + second) - 2 * shared))


def paired_frechet(
    made: Float[np.ndarray, "n d"],
    real: Float[np.ndarray, "n d"],
    partner: Float[np.ndarray, "n k"],
) -> float:
    """`frechet` of [partner, made] and [partner, real] (P-FD, L2L, Ng et al. 2022): it sees whether
    a motion goes with that of the partner as the real one does.
    """
    return frechet(np.concatenate([partner, made], 1), np.concatenate([partner, real], 1))


def squared_error(made: Float[np.ndarray, "n d"], real: Float[np.ndarray, "n d"]) -> float:
    """Mean over frames and dimensions."""
    return float(((made - real) ** 2).mean())


def shannon_index(
    made: Float[np.ndarray, "n d"], real: Float[np.ndarray, "m d"], clusters: int, seed: int = 0
) -> float:
    """SID: entropy in bits of how the frames made spread over k-means clusters of the real ones. It
    is to be like that of the real frames themselves, not as large as can be.

    Raises DependencyError without scikit-learn, InputError for fewer real frames than clusters.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise DependencyError(
            "the Shannon index needs scikit-learn: install the extra `evaluate`"
        ) from error
    if len(real) < clusters:
        raise InputError(f"got {len(real)} frames for {clusters} clusters; wanted as many or more")
    clusters = min(clusters, len(np.unique(real, axis=0)))  # a jaw at rest is one frame many times
    fitted = KMeans(clusters, random_state=seed, n_init=1).fit(real.astype(np.float64))
    share = np.bincount(fitted.predict(made.astype(np.float64)), minlength=clusters) / len(made)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def variation(frames: Float[np.ndarray, "n d"]) -> float:
    """Mean over dimensions of the variance in time."""
    return float(frames.var(0).mean())


def diversity(frames: Float[np.ndarray, "n d"], seed: int = 0) -> float:
    """Mean distance of DIVERSITY_PAIRS random pairs of frames; of all pairs where there are fewer.

    Raises InputError for a single frame.
    """
    count = len(frames)
    if count < 2:
        raise InputError("got one frame; wanted two or more to say how they differ")
    if count * (count - 1) // 2 <= DIVERSITY_PAIRS:
        return float(pdist(frames).mean())
    rng = np.random.default_rng(seed)
    one = rng.integers(0, count, DIVERSITY_PAIRS)
    two = (one + rng.integers(1, count, DIVERSITY_PAIRS)) % count
    return float(np.linalg.norm(frames[one] - frames[two], axis=1).mean())


def sts(made: Float[np.ndarray, "n d"], real: Float[np.ndarray, "n d"]) -> float:
    """Root of the summed squared differences of the frame-to-frame speeds, divided by STS_SCALE."""
    apart = np.diff(made, axis=0) - np.diff(real, axis=0)
    return float(np.sqrt((apart**2).sum() / STS_SCALE))
