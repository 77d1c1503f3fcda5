"""An emulator of the CoreWeave Inference API on a real socket, for tests and for trying things out.

    with Emulator() as emulator:
        client = Client(emulator.token, endpoint=emulator.endpoint)

It needs the extra `emulator`: `pip install '.[emulator]'` in a checkout.
"""

from .behavior import Behavior, DriftKind, Fate
from .clock import EmulatorClock
from .emulator import Emulator
from .faults.faults import Fault, Faults
from .faults.options import FaultKind
from .gateway.models import ModelFunction
from .parameters import EngineOffer, Parameters
from .rules.checker import RuleSet

__all__ = [
    "Behavior",
    "DriftKind",
    "Emulator",
    "EmulatorClock",
    "EngineOffer",
    "Fate",
    "Fault",
    "FaultKind",
    "Faults",
    "ModelFunction",
    "Parameters",
    "RuleSet",
]
