"""The dashboard: a pure function from a view to a renderable, and the loop that shows it.

:func:`genred.dashboard.layout.render` draws, :class:`genred.dashboard.live.Dashboard` shows,
:func:`genred.dashboard.svg.svg` makes a picture. Every part (``header``, ``heard``, ``scores``,
``meter``, ``picture``, ``strip``, ``happenings``, ``footer``, ``roster``) is a function of its
own module that returns a :class:`genred.dashboard.cells.Block` of exactly the size asked for.
"""
