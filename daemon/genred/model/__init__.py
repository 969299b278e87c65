"""The model file: what it says of itself, and running it."""
