"""The channels of a motion by what they move: the groups that figures are told for."""

from audio2motion.network.gate import SPEECH_CHANNELS
from motion2video.motion import DETAIL, EXPRESSION, EXPRESSION_NAMES, ROTATION, TRANSLATION


def _named(*starts: str) -> list[int]:
    return [i for i, name in enumerate(EXPRESSION_NAMES) if name.startswith(starts)]


GROUPS: dict[str, list[int]] = {
    "lips": [i for i in SPEECH_CHANNELS if i < EXPRESSION.stop],
    "head rotation": list(range(ROTATION.start, ROTATION.stop)),
    "head translation": list(range(TRANSLATION.start, TRANSLATION.stop)),
    "brows": _named("brow"),
    "smile and cheeks": _named("mouthSmile", "cheekSquint", "mouthDimple"),
    "squint": _named("eyeSquint", "eyeWide"),
    "blinks": _named("eyeBlink"),
    "gaze": _named("eyeLook"),
    "detail": list(range(DETAIL.start, DETAIL.stop)),
}
"""Name to columns of a motion. Their units differ: coefficients, radians, interocular distances."""
EXPRESSION_COLUMNS = list(range(EXPRESSION.start, EXPRESSION.stop))
JAW_COLUMNS = _named("jaw")
POSE_COLUMNS = list(range(ROTATION.start, TRANSLATION.stop))
PROTOCOL: dict[str, list[int]] = {
    "expression": EXPRESSION_COLUMNS,
    "jaw": JAW_COLUMNS,
    "pose": POSE_COLUMNS,
}
"""The three parts that papers of dyadic motion report (DualTalk, arXiv 2505.18096); there they are
coefficients of FLAME, so numbers are not comparable with theirs.
"""
CLUSTERS = {"expression": 40, "jaw": 10, "pose": 20}
"""Clusters of the Shannon index for each part, as there."""
