"""Visavis: from one portrait photo and two voices to a video of a person who talks and listens.

from app import Avatar
avatar = Avatar.load()
result = avatar.animate(portrait="me.jpg", agent_audio="answer.wav", out="answer.mp4")
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
