"""Fixtures of the lab's tests."""

from tiny_run import tiny_run
from train_data import folder

__all__ = ["folder", "tiny_run"]
