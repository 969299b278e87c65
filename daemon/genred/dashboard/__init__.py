"""The display in the terminal: one renderable a file."""
