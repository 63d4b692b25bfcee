"""People: the studio's screens, and what a visitor makes with them: videos, projects, edits. Only
`screens` knows gradio."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
