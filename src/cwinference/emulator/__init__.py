"""An emulator of the CoreWeave Inference API on real sockets, for tests and for trying things out.

    with Emulator() as emulator:
        client = Client(emulator.token, endpoint=emulator.endpoint)

Needs the extra: `pip install cwinference[emulator]`.
"""

from ._behaviour import Behaviour, Fate
from ._clock import Clock
from ._emulator import Emulator
from ._faults import Fault, Faults
from ._parameters import Parameters

__all__ = ["Behaviour", "Clock", "Emulator", "Fate", "Fault", "Faults", "Parameters"]
