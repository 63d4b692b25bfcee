"""How people behave in conversation, in published numbers, and the processes that follow them:
blinks, gaze, nods, smiles, sway. They hear and see as a stream, and one seed gives one course of
events."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
