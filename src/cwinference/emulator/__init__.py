"""An emulator of the CoreWeave Inference API on real sockets, for tests and for trying things out.

    with Emulator() as emulator:
        client = Client(emulator.token, endpoint=emulator.endpoint)

Needs the extra: `pip install cwinference[emulator]`.
"""

from .behavior import Behavior, Fate
from .clock import Clock
from .emulator import Emulator
from .faults.faults import Fault, Faults
from .parameters import Parameters

__all__ = ["Behavior", "Clock", "Emulator", "Fate", "Fault", "Faults", "Parameters"]
