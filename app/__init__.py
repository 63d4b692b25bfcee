"""Visavis: from one portrait photo and two voices to a video of a person who talks and listens.

from app import Avatar
avatar = Avatar.load()
result = avatar.animate(portrait="me.jpg", agent_audio="answer.wav", out="answer.mp4")
"""

from app.pipeline import Avatar
from app.request import MotionRequest, RenderRequest
from app.result import RenderResult

__all__ = ["Avatar", "MotionRequest", "RenderRequest", "RenderResult"]
