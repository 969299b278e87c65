"""A week of a made-up station: its messages, by seed, as the engine would tell them."""

from __future__ import annotations

import random

from rigs.messages import event

LABELS = ("jazz", "rock", "classical", "pop", "electronic", "blues", "reggae")


def week(feed, start, days=7.0, seed=1):
    """Events of ``days`` from ``start`` on: talk by day, music by night, dead air now and then."""
    dice = random.Random(seed)
    at, end, seq = start, start + days * 86400, 1
    label, begun = "jazz", start
    out = [event(seq, "started", feed=feed, ts=at + 1, start=at, label=label, title="Opening")]
    while True:
        hour = (at % 86400) / 3600
        at += dice.uniform(100, 500) * (2 if label != "speech" else 1)
        if at >= end:
            break
        if dice.random() < 0.01:
            following, kind = "silence", "silence"
        elif dice.random() < (0.45 if 6 <= hour < 20 else 0.1) and label != "speech":
            following, kind = "speech", "speech"
        else:
            block = LABELS[(int(hour) // 3 + seed) % len(LABELS)]
            following = block if dice.random() < 0.6 else dice.choice(LABELS)
            kind = "music"
        if following == label:
            continue
        seq += 1
        what = {"feed": feed, "label": following, "kind": kind}
        out.append(
            event(
                seq,
                "changed",
                ts=at + 1,
                start=at,
                previous=label,
                previous_seconds=at - begun,
                confidence=dice.uniform(0.55, 0.98),
                title=f"{following} no. {seq}" if kind == "music" else None,
                **what,
            )
        )
        label, begun = following, at
        if following == "silence":
            long = dice.uniform(30, 900)
            out.append(event(seq + 1, "dead_air", ts=at + 10, start=at, **what))
            out.append(event(seq + 2, "recovered", ts=at + long + 1, start=at + long, **what))
            seq += 2
    return out
