"""Where sound comes in: one file for each kind of source."""
