"""A large network that has heard far more than the data at hand: teacher and yardstick."""
