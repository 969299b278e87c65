"""Settings: one file for each section."""
