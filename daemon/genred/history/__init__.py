"""What was heard, kept on disk: segments, dead air and events of every feed, in SQLite.

One daemon writes (:mod:`genred.history.recorder`, a thread of its own), any number of programs
read (:mod:`genred.history.reader`, read-only connections) while it does. The file is bounded by
age and by size, and whole at every moment: SQLite's write-ahead log keeps what was committed
through a kill, and each commit is synced to the disk before it counts.
"""
