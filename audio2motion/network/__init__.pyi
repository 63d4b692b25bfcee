from .condition import Condition as Condition
from .generator import GeneratorConfig as GeneratorConfig
from .generator import GeneratorState as GeneratorState
from .generator import MotionGenerator as MotionGenerator
from .model import ModelConfig as ModelConfig
from .model import MotionNetwork as MotionNetwork

__all__ = [
    "Condition",
    "GeneratorConfig",
    "GeneratorState",
    "ModelConfig",
    "MotionGenerator",
    "MotionNetwork",
]
