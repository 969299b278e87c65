"""What people would use in genred's place, to be measured beside it: ``genred bench --against``.

A file each, with ``build(job)`` that returns a function from the last window's samples to a
decision. They run in processes of their own (``python -m genred_train.peers NAME``), single
threaded, as their own documentation says they should be run, and for the same audio.
"""
