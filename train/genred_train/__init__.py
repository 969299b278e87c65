"""The training lab: makes, judges and exports the networks that genred runs."""
