"""Collections of files: heard in parallel, resumed where it stopped, told as one result.

:mod:`~genred.archive.jobs` says what is to be heard and hears one file, an engine
(:mod:`~genred.archive.processes`, :mod:`~genred.archive.cluster`) has many heard at once,
:mod:`~genred.archive.journal` remembers what is done, :mod:`~genred.archive.collection` brings
them together. :mod:`~genred.archive.results`, :mod:`~genred.archive.plot` and
:mod:`~genred.archive.tags` tell of it: as CSV, JSONL or Parquet, as a picture, and in the files.
"""
