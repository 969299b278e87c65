"""Looks for what would keep the daemon from hearing and telling, and says what to mend."""
