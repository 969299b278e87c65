"""Fixtures of the lab's tests."""

from train_data import folder

__all__ = ["folder"]
