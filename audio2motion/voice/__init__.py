"""What the agent says and who says it: a recording, a synthesiser, or a language model's reply, as
one stream of sound with its words. Nothing but the last speaks to a network, and only to the
endpoint that a user named."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
