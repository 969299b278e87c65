"""Judging a model file by what the daemon would hear, on groups it has not heard."""
