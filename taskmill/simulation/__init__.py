"""Playing a described workload in virtual time, through the library's own decisions."""

from __future__ import annotations

from taskmill.simulation.description import read_workload
from taskmill.simulation.outcome import Outcome
from taskmill.simulation.picture import draw
from taskmill.simulation.simulate import simulate
from taskmill.simulation.table import print_outcome
from taskmill.simulation.workload import Workload

__all__ = ["Outcome", "Workload", "draw", "print_outcome", "read_workload", "simulate"]
