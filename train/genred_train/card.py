"""Writes ``MODEL_CARD.md`` from ``metrics.json`` and the recipe: no figure stands in it twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genred_train.evaluation import cards

if TYPE_CHECKING:
    from genred_train.recipe import Recipe


def write(metrics: dict[str, Any], recipe: Recipe) -> str:
    """Return the card as Markdown."""
    parts = [
        f"# {metrics['name']}",
        recipe.card.notes,
        _facts(metrics),
        *_section("Intended use", recipe.card.intended_use),
        *_section("Limits", recipe.card.limits),
        "## Terms",
        f"Licence of the model: {metrics['model']['license']}",
        recipe.card.terms,
        "## How good it is",
        _scores(metrics),
        _by_label(metrics),
        *_cross_validated(metrics),
        *_ablated(metrics),
        "![Confusion matrices of the test split](confusion.png)",
        *cards.sections(metrics),
        "## What it was trained on",
        _data(metrics, recipe),
        "## How it was made",
        _making(metrics, recipe),
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


# Splits and units in the order of the table; those that a run has not are left out.
_SCORED = (
    ("val", "window"),
    ("val", "track"),
    ("test", "window"),
    ("test", "track"),
    ("test_second", "window"),
    ("test_second", "track"),
)

_REMEMBERS = (
    "The network remembers what it heard: a window is judged with the memory of its recording "
    "until then, from its start, or by itself where nothing is remembered. "
)


_BESIDE = (
    "The recipe trained anew for each fold, and on the same folds a logistic regression on the "
    "1024 numbers that YAMNet (3.7 million parameters) says of each frame, the *yardstick*; "
    "fitted on the same recordings as the network, and on the real ones alone. A window has "
    "what is remembered of its recording until then, or is *one second* by itself; the "
    "yardstick hears windows by themselves. Temperature and shifts of each fold's logits were "
    "fitted to what was said of the other folds, with memory. A row of one *less* another is "
    "the difference at the same recordings; its interval draws the same groups for both."
)


_PARTS = (
    "The recipe with one part changed at a time; in brackets what the change does. What learns "
    "sooner need not end better: short trainings favour it."
)


def _number(count: int) -> str:
    return {2: "two", 3: "three", 4: "four"}.get(count, str(count))


def _section(title: str, text: str) -> list[str]:
    return [f"## {title}", text] if text.strip() else []


def _facts(metrics: dict[str, Any]) -> str:
    model = metrics["model"]
    labels = ", ".join(label["name"] for label in metrics["data"]["labels"])
    step = 1.0 / model["decisions_per_second"]
    second = model["decisions_per_second"]
    count = metrics["training"].get("members", 1)
    network = f"{_number(count)} of {model['network']}" if count > 1 else model["network"]
    return cards.table(
        ("", ""),
        [
            ("Labels", labels),
            (
                "Listens to",
                (
                    f"{model['window_seconds']:g} s of mono audio at {model['sample_rate']} Hz, "
                    f"anew every {step:g} s"
                ),
            ),
            ("Network", f"{network}, {model['parameters']:,} parameters"),
            ("File", f"{model['bytes']:,} bytes"),
            (
                "Multiply-adds a second of audio",
                (
                    f"{model['macs_per_second'] / 1e6:.2f} million, "
                    f"{model['front_end_macs_per_step'] * second / 1e6:.2f} of it in the front end"
                ),
            ),
        ],
    )


def _scores(metrics: dict[str, Any]) -> str:
    rows = []
    remembers = "test_second" in metrics
    for split, unit in _SCORED:
        if split in metrics:
            figures = metrics[split][unit]
            name = "validation" if split.startswith("val") else "test"
            alone = ", nothing remembered" if split.endswith("_second") else ""
            rows.append(
                (
                    f"{name}, {unit}s{alone}",
                    f"{figures['items']:,}",
                    f"{figures['groups']:,}",
                    _with_interval(figures, "accuracy"),
                    _with_interval(figures, "macro_recall"),
                    _with_interval(figures, "macro_f1"),
                    f"{figures['kind_accuracy']:.3f}",
                    f"{figures['ece']:.3f}",
                )
            )
    header = ("", "items", "groups", "accuracy", "macro recall", "macro F1", "kind", "ECE")
    return (
        "On recordings of groups (artists, speakers, recordings) that the network was not trained "
        "on; data sets marked unscored below take no part. "
        + (
            "The validation split chose the epoch and the temperature, so that its figures "
            "flatter; the"
            if "val" in metrics
            else "The validation split was learnt from too and chose nothing. The"
        )
        + " run read the test split at its end and chose nothing by it. A "
        "window is one second, a track what a recording's "
        "windows say together: their geometric mean. "
        + (_REMEMBERS if remembers else "")
        + "`kind` is the share "
        "of music, speech and noise told apart, ECE the expected calibration error. In brackets: "
        "95 % bootstrap intervals over groups, drawn within labels; where a label has one group "
        "in a split they cannot see how that label varies, and are too narrow.\n\n"
        + cards.table(header, rows)
    )


def _cross_validated(metrics: dict[str, Any]) -> list[str]:
    """The recipe beside its yardstick; see :mod:`genred_train.yardstick`."""
    if "cross_validation" not in metrics:
        return []
    from genred_train import yardstick

    return [
        "### Beside a large network",
        _BESIDE,
        yardstick.render(metrics["cross_validation"]),
    ]


def _ablated(metrics: dict[str, Any]) -> list[str]:
    """What each part of the recipe brings; see :mod:`genred_train.ablation`."""
    if "ablation" not in metrics:
        return []
    from genred_train import ablation

    return [
        "### What each part brings",
        _PARTS,
        ablation.render(metrics["ablation"]),
    ]


def _by_label(metrics: dict[str, Any]) -> str:
    window, track = metrics["test"]["window"]["by_label"], metrics["test"]["track"]["by_label"]
    rows = [
        (
            label["name"],
            str(window["groups"][n]),
            str(track["items"][n]),
            f"{window['items'][n]:,}",
            f"{window['precision'][n]:.2f}",
            f"{window['recall'][n]:.2f}",
            f"{window['f1'][n]:.2f}",
            f"{track['recall'][n]:.2f}",
            f"{track['f1'][n]:.2f}",
        )
        for n, label in enumerate(metrics["data"]["labels"])
    ]
    header = (
        "label (test)",
        "groups",
        "tracks",
        "windows",
        "precision",
        "recall",
        "F1",
        "track recall",
        "track F1",
    )
    return cards.table(header, rows)


def _data(metrics: dict[str, Any], recipe: Recipe) -> str:
    data = metrics["data"]
    sets = cards.table(
        ("data set", "licence as the data states it", "scored", "clips", "hours"),
        [
            (
                row["dataset"] or "-",
                row["license"] or "not stated",
                "yes" if row["scored"] else "no",
                str(row["clips"]),
                f"{row['hours']:.2f}",
            )
            for row in data["datasets"]
        ],
    )
    splits = data["by_split"]
    rows = []
    for n, label in enumerate(data["labels"]):
        cells = [
            f"{splits[split][n]['clips']} / {splits[split][n]['groups']} / "
            f"{splits[split][n]['hours']:.2f}"
            for split in ("train", "val", "test")
        ]
        rows.append((label["name"], label["kind"], *cells))
    labels = cards.table(("label", "kind", "train", "validation", "test"), rows)
    drawn = (
        "as the manifest says"
        if recipe.split.by == "manifest"
        else f"drawn over groups with seed {recipe.split.seed}"
    )
    skipped = len(data["unusable"])
    aside = data.get("unlabelled", {"clips": 0})
    unlabelled = (
        f"{aside['clips']} recordings without a label ({aside['hours']:.2f} h) are in the training "
        "split with the teacher's opinion in its place.\n\n"
        if aside["clips"]
        else ""
    )
    synthetic = recipe.data.synthetic
    station = (
        f"Passages of genred's synthesised station ({synthetic.seconds:g} s of each style for "
        f"each of the seeds {', '.join(map(str, synthetic.seeds))}; the demonstration plays "
        "another) are in the training split and in no score.\n\n"
        if synthetic.seeds
        else ""
    )
    return (
        f"{sets}\n\nClips / groups / hours by label; splits {drawn}, no group on two sides:\n\n"
        f"{labels}\n\n{station}{unlabelled}Files that could not be used: {skipped}. Fingerprint "
        "of content, labels, "
        f"groups and splits: `{data['fingerprint']}`."
    )


def _making(metrics: dict[str, Any], recipe: Recipe) -> str:
    training, versions = metrics["training"], metrics["versions"]
    difference = metrics["export_difference"]
    taught = [f"{name} (`{digest}`)" for name, digest in metrics["teachers"].items()]
    passages = recipe.airing.seconds
    made_with = ", ".join(f"{name} {number}" for name, number in versions.items())
    chosen = f"{training['epochs']} epochs, the last of them taken"
    if recipe.training.select != "last":
        chosen = (
            f"best of {training['epochs']} epochs by macro F1 on validation windows was epoch "
            f"{training['best_epoch']}"
        )
    count, seed = training.get("members", 1), metrics["seed"]
    seeds = f"seed {seed}"
    if count > 1:
        seeds = f"seeds {', '.join(str(seed + n) for n in range(count - 1))} and {seed + count - 1}"
        chosen = (
            f"{_number(count)} networks, trained apart and alike, whose logits' "
            f"mean is what the model says; of each {chosen}"
        )
    heard = f"passages of {passages:g} s" if passages else "crops"
    settling = training.get("settling") or {"epochs": 0}
    settled = (
        f"then {settling['epochs']} of {settling['crops_per_epoch']:,} passages of "
        f"{settling['seconds']:g} s, in which what remembers and the last layer learnt alone, "
        if settling["epochs"]
        else ""
    )
    by_teacher = f"taught by {' and '.join(taught)} as well, " if taught else ""
    return (
        f"`genred train` with the recipe `{recipe.name}` and {seeds}: {chosen}; "
        f"{training['crops_per_epoch']:,} {heard} an epoch, {by_teacher}{settled}"
        f"{training['seconds'] / 60:.1f} minutes on {training['device']}. Calibration temperature "
        f"{metrics['calibration']['temperature']:.3f}, found by "
        f"{metrics['calibration'].get('by', 'validation')}{_shifts(metrics)}. The model "
        f"file differs from PyTorch by at most {difference['logits']:.1e} in logits and "
        f"{difference['logmel']:.1e} in log-mel frames. Made with {made_with}, "
        f"{metrics['created']}."
    )


def _shifts(metrics: dict[str, Any]) -> str:
    shifts: dict[str, float] = metrics["calibration"].get("shifts", {})
    if not any(shifts.values()):
        return ""
    told = ", ".join(f"{label} {shift:+.2f}" for label, shift in shifts.items())
    return f", as were the shifts that are built into the logits ({told})"


def _with_interval(figures: dict[str, Any], name: str) -> str:
    low, high = figures["intervals"][name]
    return f"{figures[name]:.3f} [{low:.3f}, {high:.3f}]"
