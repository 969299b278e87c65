"""Watching a daemon that runs elsewhere: over its local socket, or over MQTT.

:mod:`genred.watch.server` shows the daemon's views to whoever connects to a Unix socket,
:mod:`genred.watch.local` sees them there; :mod:`genred.watch.remote` puts views together from what
is published on a broker. Both are a :class:`genred.watch.sight.Sight`, which the dashboard shows.
"""
