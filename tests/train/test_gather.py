"""Free music is fetched, cut and told of; what goes wrong costs none of what is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_run import quiet
from train_data import OPUS_RATE, encode, recipe, sound

from genred_train import gather
from genred_train.data import corpus as corpora
from genred_train.data.decoding import Settings, decode

WANTED = [
    gather.Excerpt("game-music", "1:2", "usr/share/games/tune.ogg", 3.0),
    gather.Excerpt("game-music", "1:2", "usr/share/games/tune.ogg", 12.0),
    gather.Excerpt("game-music", "1:2", "usr/share/games/all.pk3/music/other.ogg", 2.0),
    gather.Excerpt("game-music", "1:2", "usr/share/games/gone.ogg", 2.0),
    gather.Excerpt("other-music", "1", "usr/share/games/third.ogg", 0.0),
]


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A package to fetch with an ``apt-get`` of one's own; unpacked by the real ``dpkg-deb``."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("needs dpkg-deb")
    root = tmp_path / "package"
    games = root / "usr" / "share" / "games"
    tune = np.concatenate([sound("low", 10.0, 1, OPUS_RATE), sound("noise", 30.0, 2, OPUS_RATE)])
    encode(games / "tune.ogg", tune)
    encode(games / "music" / "other.ogg", sound("high", 30.0, 3, OPUS_RATE))
    with zipfile.ZipFile(games / "all.pk3", "w") as archive:
        archive.write(games / "music" / "other.ogg", "music/other.ogg")
    shutil.rmtree(games / "music")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(
        "Package: game-music\nVersion: 1\nArchitecture: all\nMaintainer: n <n@n>\nDescription: d\n"
    )
    made = tmp_path / "made.deb"
    subprocess.run(["dpkg-deb", "--build", str(root), str(made)], check=True, capture_output=True)
    tools = tmp_path / "bin"
    tools.mkdir()
    fetched = tmp_path / "fetched"
    apt = tools / "apt-get"
    apt.write_text(
        "#!/bin/sh\nfor last; do :; done\n"
        f'echo "$last" >> {fetched}\n'
        f'[ "$last" = game-music ] && cp {made} game-music_1%3a1_all.deb && exit 0\n'
        'echo "E: Unable to locate package $last" >&2; exit 100\n'
    )
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(gather, "excerpts", lambda: WANTED)
    return fetched


def test_excerpts_are_cut_and_learnt_from(mirror, folder, tmp_path, capsys):
    """Each is as long and from where the list says, also out of an archive."""
    out = tmp_path / "free"
    assert gather.main([str(out), "--only", "game-music"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: 3 excerpts of 25 s\n"
    assert "not in this version of game-music: usr/share/games/gone.ogg" in said.err
    assert "version 1:1; the list is of 1:2" in said.err
    first, second, third = (out / each.name for each in WANTED[:3])
    heard = decode(first, Settings(16_000, 60.0)) / 32768.0
    assert heard.size == pytest.approx(25 * 16_000, abs=1600)
    # Seven seconds of tone, then noise: its spectrum is flat.
    tone, noise = (np.abs(np.fft.rfft(part)) for part in (heard[:96_000], heard[128_000:]))
    assert tone.max() > 50 * np.median(tone)
    assert noise.max() < 10 * np.median(noise)
    assert second.exists()
    assert third.exists()
    corpus = corpora.load(recipe(), folder, tmp_path / "cache", quiet(), unlabelled=out)
    assert len(corpus.unlabelled) == 3
    assert {entry.clip.dataset for entry in corpus.unlabelled} == {"debian-games"}
    assert len({entry.group for entry in corpus.unlabelled}) == 2


def test_what_is_there_is_not_fetched_again(mirror, tmp_path, monkeypatch):
    """Only a package with excerpts that are not there is; what is there is not cut anew."""
    monkeypatch.setattr(gather, "excerpts", lambda: WANTED[:3])
    out = tmp_path / "free"
    gather.main([str(out)])
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.ogg")}
    gather.main([str(out)])
    assert mirror.read_text().split() == ["game-music"]
    gone, *_ = times
    gone.unlink()
    gather.main([str(out)])
    assert mirror.read_text().split() == ["game-music"] * 2
    assert gone.exists()
    assert all(path.stat().st_mtime_ns == times[path] for path in times if path != gone)


def test_what_cannot_be_fetched_is_told(mirror, tmp_path, capsys):
    """One line, the code for trying again later, and what was gathered before stays."""
    out = tmp_path / "free"
    assert gather.main([str(out)]) == 75
    assert "cannot fetch other-music: E: Unable to locate package" in capsys.readouterr().err
    assert len(list(out.rglob("*.ogg"))) == 3
    assert gather.main([str(out), "--only", "nothing"]) == 66
    assert "there is no package 'nothing' on the list" in capsys.readouterr().err


def test_without_apt_the_line_says_what_to_do(tmp_path, capsys, monkeypatch):
    """Other systems have other packages."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gather.main([str(tmp_path / "free"), "--only", "asc-music"]) == 69
    assert "needs apt-get" in capsys.readouterr().err


def test_the_list_is_whole():
    """Each excerpt has a name of its own; there are as many as the lab's page says."""
    listed = gather.excerpts()
    assert len({each.name for each in listed}) == len(listed) == 727
    assert len({each.package for each in listed}) == 24
    assert all(each.start >= 0 and not Path(each.file).is_absolute() for each in listed)
