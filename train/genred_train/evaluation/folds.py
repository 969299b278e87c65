"""Cross-validation: a recipe trained once for each fold of groups, judged on that fold alone."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genred.errors import InputError, OutputError
from genred_train import recipe as recipes
from genred_train.calibration import Correction, fit_correction
from genred_train.evaluation import figures, listening
from genred_train.evaluation.listening import Answers
from genred_train.judging import Scored, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from genred_train.console import Console
    from genred_train.data.catalogue import SplitName
    from genred_train.data.corpus import Corpus
    from genred_train.recipe import Recipe

# Of these, mean and spread over folds are reported.
SPREAD = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "kind_accuracy", "ece")

_FOLD = "fold.json"
_ANSWERS = "answers.npz"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is cross-validated, on what, and how."""

    recipe: Recipe
    data: Path
    cache: Path
    out: Path | None
    count: int
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    teachers: tuple[Path, ...] = ()
    unlabelled: Path | None = None
    first: int | None = None
    """Only so many of the folds are trained, the first ones."""


@dataclass(frozen=True)
class Fold:
    """What the model of one fold said of the groups it was not trained on."""

    answers: Answers
    temperature: float
    best_epoch: int
    seconds: float
    by: Correction | None = None
    """What its logits were corrected by."""


def recipe_at(path: Path) -> Recipe:
    """Read the recipe at ``path``, or the one inside the model file at ``path``.

    Raises :class:`~genred.errors.GenredError` if it is neither.
    """
    if path.suffix == ".toml":
        return recipes.load(path)
    from genred.model.session import load_model
    from genred_train.evaluation.subject import recipe_of

    metadata = load_model(path).metadata
    recipe, known = recipe_of(metadata)
    if not known:
        raise InputError(
            f"the model {path} holds no recipe that this version reads", "name a recipe instead"
        )
    return recipe


def deal(groups: Mapping[str, Mapping[str, int]], count: int, seed: int) -> dict[str, int]:
    """Deal groups to ``count`` folds, each label's groups as evenly as can be.

    ``groups`` says how many clips of each label a group has. For each label, rarest first,
    groups in random order go to the fold that has the fewest groups of that label, and among
    those to the one with the fewest clips.
    """
    order = sorted(groups)
    random.Random(seed).shuffle(order)  # noqa: S311 - a draw, not a secret
    by_label: defaultdict[str, list[str]] = defaultdict(list)
    for group in order:
        for label in groups[group]:
            by_label[label].append(group)
    dealt: dict[str, int] = {}
    clips = [0] * count
    for label in sorted(by_label, key=lambda name: (len(by_label[name]), name)):
        have = Counter(dealt[group] for group in by_label[label] if group in dealt)
        for group in by_label[label]:
            if group in dealt:
                continue
            fold = min(range(count), key=lambda n: (have[n], clips[n]))
            dealt[group] = fold
            have[fold] += 1
            clips[fold] += sum(groups[group].values())
    return dealt


def validation(groups: Mapping[str, Mapping[str, int]], share: float, seed: int) -> set[str]:
    """Draw the groups that choose the epoch: ``share`` of each label's, but one at least.

    A label with one group keeps it for training.
    """
    order = sorted(groups)
    random.Random(seed).shuffle(order)  # noqa: S311 - a draw, not a secret
    by_label: defaultdict[str, list[str]] = defaultdict(list)
    for group in order:
        for label in groups[group]:
            by_label[label].append(group)
    taken: set[str] = set()
    for members in sorted(by_label.values(), key=len):
        wanted = max(1, round(share * len(members))) if len(members) > 1 else 0
        free = [group for group in members if group not in taken]
        taken.update(free[: max(0, wanted - (len(members) - len(free)))])
    return taken


def fold_of(corpus: Corpus, dealt: Mapping[str, int], number: int, plan: Plan) -> Corpus:
    """The corpus with fold ``number`` as its test split; the rest trains and validates.

    Groups that are never scored train in every fold.
    """
    rest = {g: c for g, c in _scored_groups(corpus).items() if dealt[g] != number}
    share = plan.recipe.split.val * plan.count / (plan.count - 1)
    val = validation(rest, min(share, 0.5), plan.seed + number)

    def split(group: str) -> SplitName:
        if dealt.get(group) == number:
            return "test"
        return "val" if group in val else "train"

    entries = tuple(replace(entry, split=split(entry.group)) for entry in corpus.entries)
    name = f"{corpus.fingerprint} fold {number} of {plan.count} dealt with {plan.seed}"
    return replace(corpus, entries=entries, fingerprint=hashlib.sha256(name.encode()).hexdigest())


def cross_validate(plan: Plan, console: Console) -> dict[str, Any]:
    """Train and judge every fold; returns pooled figures, those of folds, mean and spread.

    See :func:`trained`.
    """
    return collect(plan, *trained(plan, console))


def trained(plan: Plan, console: Console) -> tuple[Corpus, list[Fold]]:
    """The corpus, and every fold with what its model says of it, corrected by the others.

    With ``plan.out`` the folders ``fold-N`` keep each fold's model and answers, and a fold that
    is whole there is not trained again. Raises :class:`InputError` if a label has too few
    groups.
    """
    from genred_train.data import corpus as corpora

    corpus = corpora.load(plan.recipe, plan.data, plan.cache, console, unlabelled=plan.unlabelled)
    _enough(_scored_groups(corpus), corpus.label_names, plan.count, console)
    with tempfile.TemporaryDirectory(prefix="genred-folds-") as scratch:
        base = plan.out or Path(scratch)
        aside = besides(plan, corpus)
        done = []
        for number, part in enumerate(parts(corpus, plan)):
            folder = base / f"fold-{number + 1}"
            fold = _kept(folder, _key(part, plan), aside)
            if fold is None:
                console.note(f"fold {number + 1} of {plan.count}")
                fold = _run(part, plan, folder, console)
            else:
                console.note(f"fold {number + 1} of {plan.count}: taken from {folder}")
            done.append(fold)
    if plan.recipe.training.learn_validation and len(done) > 1:
        # No split was left for it: each fold is calibrated by what was said of the others.
        by_others = _by_others(done, corpus, plan.recipe)
        done = [_corrected(fold, by, plan.recipe) for fold, by in zip(done, by_others, strict=True)]
    return corpus, done


def parts(corpus: Corpus, plan: Plan) -> Iterator[Corpus]:
    """The corpus of each fold, with the fold as its test split."""
    dealt = deal(_scored_groups(corpus), plan.count, plan.seed)
    for number in range(plan.first or plan.count):
        yield fold_of(corpus, dealt, number, plan)


def besides(plan: Plan, corpus: Corpus) -> str:
    """Tells apart what folds learn from besides the recordings with labels."""
    if not plan.teachers:
        return ""
    from genred_train.teacher import panel

    return panel.besides(plan.teachers, corpus.unlabelled_fingerprint)


def correction(recipe: Recipe, corpus: Corpus, folder: Path) -> Correction:
    """Shifts and temperature by what the models of all folds in ``folder`` said of their own folds.

    The corpus's test split has no say in it. Raises what :func:`found` raises.
    """
    done = []
    for fold in _found(recipe, corpus, folder)[1]:
        answers = fold.answers
        apart = [corpus.entries[position].split != "test" for position in answers.positions]
        done.append(replace(fold, answers=answers.part(np.array(apart))))
    return _fitted(done, corpus, recipe)


def corrections(recipe: Recipe, corpus: Corpus, folder: Path) -> list[Correction]:
    """The same for the model of each fold, by what those of the others said.

    Raises what :func:`found` raises.
    """
    return _by_others(_found(recipe, corpus, folder)[1], corpus, recipe)


def found(recipe: Recipe, corpus: Corpus, folder: Path) -> Plan:
    """The plan by which ``folder`` holds a whole cross-validation.

    Raises :class:`InputError` if it holds none of this recipe on this data.
    """
    return _found(recipe, corpus, folder)[0]


def _found(recipe: Recipe, corpus: Corpus, folder: Path) -> tuple[Plan, list[Fold]]:
    count = len(list(folder.glob("fold-*")))
    seed = _told(folder / "fold-1").get("seed", 0)
    plan = Plan(recipe=recipe, data=folder, cache=folder, out=folder, count=count, seed=seed)
    kept = [
        _kept(folder / f"fold-{number + 1}", _key(part, plan))
        for number, part in enumerate(parts(corpus, plan) if count > 1 else ())
    ]
    done = [fold for fold in kept if fold is not None]
    if count < 2 or len(done) < count:
        raise InputError(
            f"{folder} holds no whole cross-validation of this recipe on this data",
            "cross-validate it first: python -m genred_train.yardstick, or genred evaluate RECIPE "
            "--cross-validate 4 --out DIR",
        )
    return plan, done


def _fitted(done: Sequence[Fold], corpus: Corpus, recipe: Recipe) -> Correction:
    parts = [listening.scored(fold.answers, corpus, 1.0) for fold in done]
    return fit_correction(
        np.concatenate([fold.answers.logits for fold in done]),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.groups for part in parts]),
        recipe.training.caution,
        np.concatenate([_heard(fold, recipe) for fold in done]),
    )


def _heard(fold: Fold, recipe: Recipe) -> NDArray[np.float64]:
    """Windows of its recording that were heard when each was answered."""
    return fold.answers.ends / recipe.audio.whole


def _by_others(done: Sequence[Fold], corpus: Corpus, recipe: Recipe) -> list[Correction]:
    return [_fitted([*done[:n], *done[n + 1 :]], corpus, recipe) for n in range(len(done))]


def _corrected(fold: Fold, by: Correction, recipe: Recipe) -> Fold:
    logits = by.shifted(fold.answers.logits, _heard(fold, recipe))
    answers = replace(fold.answers, logits=logits)
    return replace(fold, answers=answers, temperature=by.temperature, by=by)


def _run(corpus: Corpus, plan: Plan, folder: Path, console: Console) -> Fold:
    from genred.model.session import load_model
    from genred_train import run

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make {folder}: {error.strerror}", "choose another --out"
        ) from None
    device = run.choose_device(plan.device)
    run.settle(plan.recipe.training.seed, plan.threads)
    options = run.Options(plan.data, folder, plan.cache, teachers=plan.teachers)
    fitted = run.fit(plan.recipe, corpus, folder, device, console, options)
    path = folder / "model.onnx"
    run.export(plan.recipe, corpus, fitted.network, fitted.temperature, path)
    model = load_model(path, feeds=listening.FEEDS)
    with console.progress("Listening") as progress:
        answers = listening.listen(model, corpus, corpus.of("test"), progress)
    best = fitted.trainer.best_epoch.epoch if fitted.trainer.best_epoch else 0
    fold = Fold(answers, fitted.temperature, best, fitted.seconds)
    _keep(fold, folder, _key(corpus, plan), plan.seed, besides(plan, corpus))
    return fold


def pooled(corpus: Corpus, done: Sequence[Fold]) -> tuple[Scored, NDArray[np.int64]]:
    """All folds as one, and which recording each window is of."""
    scored = [listening.scored(fold.answers, corpus, fold.temperature) for fold in done]
    return joined(scored), np.concatenate([fold.answers.positions for fold in done])


def collect(plan: Plan, corpus: Corpus, done: Sequence[Fold]) -> dict[str, Any]:
    """What :func:`cross_validate` returns, of folds that are :func:`trained`."""
    kinds = [label.kind.value for label in corpus.labels]
    scored = [listening.scored(fold.answers, corpus, fold.temperature) for fold in done]
    whole, positions = joined(scored), np.concatenate([fold.answers.positions for fold in done])
    folds: list[dict[str, Any]] = [
        {
            "best_epoch": fold.best_epoch,
            "seconds": round(fold.seconds, 1),
            "temperature": fold.temperature,
            "shifts": fold.by.shifts.tolist() if fold.by else None,
            "groups": sorted({corpus.entries[n].group for n in np.unique(fold.answers.positions)}),
            **_brief(each, fold.answers, kinds, plan.seed),
        }
        for fold, each in zip(done, scored, strict=True)
    ]
    return {
        "model": {"name": plan.recipe.name, "labels": corpus.label_names},
        "recipe": plan.recipe.model_dump(mode="json"),
        "data": {
            "fingerprint": corpus.fingerprint,
            "recordings": int(np.unique(positions).size),
            "groups": int(np.unique(whole.groups).size),
            "labels_missing": [],
        },
        "folds": folds,
        "seed": plan.seed,
        "spread": {
            unit: {key: _mean_and_spread([fold[unit][key] for fold in folds]) for key in SPREAD}
            for unit in figures.UNITS
        },
        "warnings": [],
        **figures.judge(whole, positions, kinds, plan.seed),
    }


def _brief(scored: Scored, answers: Answers, kinds: list[str], seed: int) -> dict[str, Any]:
    whole = figures.judge(scored, answers.positions, kinds, seed)
    keys = ("items", "groups", *SPREAD)
    return {unit: {key: whole[unit][key] for key in keys} for unit in figures.UNITS}


def _mean_and_spread(values: Sequence[float]) -> list[float]:
    """Mean and sample standard deviation over folds; 0 of a single one."""
    return [float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0]


def _scored_groups(corpus: Corpus) -> dict[str, Counter[str]]:
    groups: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for entry in corpus.entries:
        if entry.scored:
            groups[entry.group][corpus.label_names[entry.label]] += 1
    return dict(groups)


def _enough(
    groups: Mapping[str, Mapping[str, int]], labels: Iterable[str], count: int, console: Console
) -> None:
    have = Counter(label for counted in groups.values() for label in counted)
    alone = [label for label in labels if have[label] < 2]
    if alone:
        raise InputError(
            f"cross-validation needs recordings of two groups that may be scored: too few of "
            f"{', '.join(alone)}",
            "add recordings, or leave the label out of data.labels",
        )
    few = [f"{label} ({have[label]})" for label in labels if have[label] < count]
    if few:
        console.note(f"fewer groups than folds, so that not every fold has them: {', '.join(few)}")


def _key(corpus: Corpus, plan: Plan) -> str:
    # Labels that the recipe leaves to the data count as if it named them.
    data = plan.recipe.data.model_copy(update={"labels": corpus.labels})
    recipe = plan.recipe.model_copy(update={"data": data})
    text = f"{corpus.fingerprint}\n{recipe.model_dump_json(exclude={'card', 'published'})}"
    return hashlib.sha256(text.encode()).hexdigest()


def _keep(fold: Fold, folder: Path, key: str, seed: int, besides: str) -> None:
    """Write a fold's answers, then what says that they are whole."""
    told = {
        "key": key,
        "besides": besides,
        "seed": seed,
        "temperature": fold.temperature,
        "best_epoch": fold.best_epoch,
        "seconds": fold.seconds,
    }
    try:
        np.savez_compressed(
            folder / _ANSWERS,
            logits=fold.answers.logits,
            positions=fold.answers.positions,
            ends=fold.answers.ends,
        )
        (folder / _FOLD).write_text(json.dumps(told) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}", "make room") from None


def _kept(folder: Path, key: str, besides: str | None = None) -> Fold | None:
    """What an earlier call left, if it is whole and of the same recipe, data and folds.

    And if it learnt from the same teachers and music without labels, where somebody asks for that.
    """
    told = _told(folder)
    try:
        if told["key"] != key or besides not in (None, told.get("besides")):
            return None
        with np.load(folder / _ANSWERS) as arrays:
            answers = Answers(arrays["logits"], arrays["positions"], arrays["ends"])
        return Fold(answers, told["temperature"], told["best_epoch"], told["seconds"])
    except (OSError, ValueError, KeyError):
        return None


def _told(folder: Path) -> dict[str, Any]:
    """What stands in a fold's file, nothing where there is none."""
    try:
        told: dict[str, Any] = json.loads((folder / _FOLD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told
