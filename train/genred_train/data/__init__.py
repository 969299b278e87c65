"""From folders of recordings to samples with labels, groups and splits."""
