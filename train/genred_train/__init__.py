"""The training lab: makes, judges and exports the networks that genred runs."""

import os

# Read by OpenMP when PyTorch loads it. Threads that spin while they wait for each other make a
# small network ten times as slow where other programs want the cores as well.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
