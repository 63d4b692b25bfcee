"""audio2motion: the voices of two people in, Motion of one of them out.

The facade is `audio2motion.network.MotionGenerator`; `audio2motion.voice` speaks text.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
