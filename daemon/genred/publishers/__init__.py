"""Where what is heard goes out: one file for each way."""
