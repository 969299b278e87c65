"""Where sound comes in: one file for each kind of source.

``base.py`` is the seam; ``opening.py`` makes a source out of a feed's settings; ``runner.py``
keeps it running.
"""
