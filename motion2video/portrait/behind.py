"""What is shown behind a person instead of the background of their photo."""

from typing import Literal

import numpy as np
from jaxtyping import UInt8

Behind = UInt8[np.ndarray, "H W 3"] | Literal["nothing"]
"""A picture of the photo's size, or nothing: frames are RGBA then."""
