"""Things to look at: pictures, tables and pages of runs."""
