# Everything happens in a virtual environment, .venv, at the root.
#   make run    set up what is needed and run the daemon (ARGS="--source default" for more)
#   make test   set up everything and run all checks and tests
#   make install-service   install the daemon under systemd (as root; see docs/operations.md)

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
HA := .venv-ha
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

# Where `make install-service` puts the daemon, and on what its model runs: cpu or gpu. DESTDIR
# stands before the paths of what is no code, see install-units.
PREFIX ?= /opt/genred
PROVIDER ?= cpu
# More for it: `EXTRAS=,web` for the HTTP API, metrics and the live page.
EXTRAS ?=
DESTDIR ?=

# Capture needs PortAudio; the tests need the real counterparts they run against.
DEBIAN_RUN := libportaudio2
DEBIAN_TEST := libportaudio2 mosquitto mosquitto-clients pulseaudio pulseaudio-utils \
	libasound2-plugins icecast2 ffmpeg tmux openssl chromium prometheus

.PHONY: run test ha-env ha-env-or-not check format picture readme reference fuzz lab model constraints clean install-service install-units soak load bench bench-gpu scale

run: $(VENV)/.runtime
	@$(call debian,$(DEBIAN_RUN))
	@$(BIN)/genred run $(ARGS)

test: $(VENV)/.everything
	@$(call debian,$(DEBIAN_TEST))
	@$(MAKE) --no-print-directory -j2 --output-sync=line check ha-env-or-not
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS) || { [ $$? = 1 ] && \
		echo "what failed once more, by itself: beside others it may have been short of time" && \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(ARGS); }

# File by file, on all cores and one more: the tests wait much of the time. WORKERS=0 for one by one.
SIDE_BY_SIDE = -n $(or $(WORKERS),$(shell expr $$(nproc) + 1)) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.everything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/vulture

# Home Assistant in an environment of its own, for its tests: some 800 MB, once.
ha-env: $(HA)/.complete

ha-env-or-not:
	@$(MAKE) --no-print-directory ha-env || echo "going on without Home Assistant: its tests will be skipped"

$(HA)/.complete: tests/homeassistant/requirements.txt tests/homeassistant/constraints.txt | $(VENV)/bin/python
	@echo "setting up Home Assistant in $(HA): two minutes, once ..."
	@rm -rf $(HA)
	@$(PYTHON) -m venv $(HA)
	@$(HA)/bin/python -m pip --disable-pip-version-check --quiet install \
		-c tests/homeassistant/constraints.txt -r tests/homeassistant/requirements.txt
	@touch $@

format: $(VENV)/.everything
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The dashboard's picture, and every block of the README that a command prints.
picture: $(VENV)/.runtime
	$(BIN)/genred picture --out docs/dashboard.svg

readme: $(VENV)/.everything picture
	$(BIN)/python tests/update_readme.py

# The tables of docs/reference.md, from the code.
reference: $(VENV)/.everything
	$(BIN)/python tests/update_reference.py

# Trains every recipe on the recordings in GENRED_DATA (hours on a CPU; ARGS="--minutes 20" for
# less) and fills in the table of the lab's README. Finished runs are kept in runs/lab.
lab: $(VENV)/.everything
	@test -n "$(GENRED_DATA)" || { echo "say where the recordings are: make lab GENRED_DATA=DIR"; exit 1; }
	$(BIN)/python -m genred_train.lab --data "$(GENRED_DATA)" --update train/README.md $(ARGS)

# Makes the shipped model anew from the recordings in GENRED_DATA and the teacher GENRED_TEACHER
# (yamnet.tflite): fetches the other teacher (musicnn, 29 MB) and music without labels (3.1 GB),
# cross-validates beside the yardstick, trains, tunes by the folds how it is judged by, tries what
# each part brings, judges it on the air and by treatments, and writes the card.
MODEL_RUN = runs/compact
MODEL_FOLDS = runs/compact-folds
MODEL_MUSIC = runs/free-music
MODEL_ARGS = configs/train/compact.toml --data "$(GENRED_DATA)" --teacher "$(GENRED_TEACHER)" \
	--teacher runs/musicnn-0.1.0-py3-none-any.whl --unlabelled $(MODEL_MUSIC)
model: $(VENV)/.everything
	@test -n "$(GENRED_DATA)" -a -f "$(GENRED_TEACHER)" || \
		{ echo "make model GENRED_DATA=DIR GENRED_TEACHER=yamnet.tflite"; exit 1; }
	$(BIN)/pip download --no-deps --dest runs musicnn==0.1.0
	$(BIN)/python -m genred_train.gather $(MODEL_MUSIC)
	$(BIN)/python -m genred_train.yardstick $(MODEL_ARGS) --out $(MODEL_FOLDS)
	$(BIN)/torchrun --nproc-per-node 2 -m genred_train $(MODEL_ARGS) --device cpu --threads 1 \
		--folds $(MODEL_FOLDS) --out $(MODEL_RUN)
	$(BIN)/python -m genred_train.yardstick $(MODEL_ARGS) --out $(MODEL_FOLDS) --card $(MODEL_RUN)
	$(BIN)/python -m genred_train.ablation $(MODEL_ARGS) --epochs 3 --out runs/compact-parts --card $(MODEL_RUN)
	$(BIN)/python -m genred_train.tune $(MODEL_RUN) --data "$(GENRED_DATA)" --folds $(MODEL_FOLDS)
	$(BIN)/genred evaluate $(MODEL_RUN) --data "$(GENRED_DATA)" --stream --robustness --card
	install -d models/compact
	cd $(MODEL_RUN) && install -m 644 model.onnx metrics.json MODEL_CARD.md confusion.png strip*.png coverage*.png \
		$(CURDIR)/models/compact

# What listening costs here, beside what others cost; adds to the history and fills in the page.
# About four minutes on a quiet machine. TEACHER=yamnet_frame.tflite measures YAMNet too.
bench: $(VENV)/.everything
	$(BIN)/genred bench --against $(if $(TEACHER),--teacher "$(TEACHER)") --training \
		--record docs/benchmarks.jsonl $(ARGS)
	$(BIN)/python tests/update_performance.py

# The model alone on a GPU, from samples in memory to labels, beside one core of the CPU. Needs an
# environment with genred[gpu], and a GPU; says so where there is none.
bench-gpu: $(VENV)/.runtime
	@$(BIN)/genred bench --batches --provider cuda $(ARGS)

# A day of ten thousand feeds against a real mosquitto, in ten minutes at most; fills in docs/scale.md.
scale: $(VENV)/.everything
	@$(call debian,$(DEBIAN_TEST))
	$(BIN)/python tests/scale/simulated_day.py --record docs/scale.json $(ARGS)
	$(BIN)/python tests/update_performance.py

# Coverage-guided, for as long as one likes: FUZZ="-max_total_time=3600".
fuzz: $(VENV)/.everything
	$(BIN)/python tests/fuzz.py $(or $(FUZZ),-max_total_time=600)

constraints: $(VENV)/.everything
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip > constraints.txt

clean:
	rm -rf $(VENV) $(HA) build runs

# The daemon for hours, with faults at random: three days of a simulated audio clock, then real time
# against real counterparts. SOAK="--minutes 600 --seed 5" for more.
soak: $(VENV)/.everything
	@$(call debian,$(DEBIAN_TEST))
	$(BIN)/python tests/soak/simulated.py --hours 72
	$(BIN)/python tests/soak/soak.py $(SOAK)

# HTTP under load (200 listeners, 1,000 uploads), and how late decisions come meanwhile.
load: $(VENV)/.everything
	$(BIN)/python tests/web/load.py $(ARGS)

# An environment of its own, then the units. The unit hides all homes, so that a Python that lives
# in one would not be found by it.
install-service:
	@[ "$$(id -u)" = 0 ] || { echo "this needs root: sudo make install-service"; exit 77; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) or \
		sys.base_prefix.startswith(("/root/", "/home/")))' || \
		{ echo "the service needs a Python 3.11 outside of all homes:" \
			"make install-service PYTHON=/usr/bin/python3.11"; exit 78; }
	@$(call debian,$(DEBIAN_RUN))
	$(PYTHON) -m venv $(PREFIX)
	$(PREFIX)/bin/python -m pip --disable-pip-version-check --quiet \
		install --no-compile -c constraints.txt '.[$(PROVIDER)$(EXTRAS)]'
	@$(PREFIX)/bin/python -m pip --disable-pip-version-check --quiet uninstall --yes setuptools
	@$(MAKE) --no-print-directory install-units

install-units:
	@for unit in genred.service genred@.service; do \
		install -d $(DESTDIR)/etc/systemd/system && \
		sed 's|/opt/genred|$(PREFIX)|g' systemd/$$unit > $(DESTDIR)/etc/systemd/system/$$unit && \
		chmod 644 $(DESTDIR)/etc/systemd/system/$$unit || exit 74; done
	@install -D -m 644 systemd/genred.sysusers $(DESTDIR)/usr/lib/sysusers.d/genred.conf
	@install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/genred docs/*.md systemd/genred-gpu.conf
	@install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/genred/monitoring docs/monitoring/*
	@[ -e $(DESTDIR)/etc/genred/genred.toml ] || \
		install -D -m 644 configs/genred.toml $(DESTDIR)/etc/genred/genred.toml
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then \
		systemd-sysusers genred.conf && systemctl daemon-reload; fi
	@echo "installed. Say what to listen to in /etc/genred/genred.toml, then:"
	@echo "  $(PREFIX)/bin/genred doctor --config /etc/genred/genred.toml"
	@echo "  systemctl enable --now genred"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "genred needs Python 3.11; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "install it first: apt-get install python3.11-venv"; exit 1; }

# The runtime alone: no torch, well under 300 MB. Bytecode is made of what is really imported; the
# setuptools that venv brings is of no use here, building happens in isolation.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "setting up the runtime in $(VENV) ..."
	@$(PIP) install --no-compile -c constraints.txt -e '.[cpu]'
	@$(PIP) uninstall --yes setuptools
	@touch $@

$(VENV)/.everything: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "setting up everything, PyTorch included, in $(VENV): some 5 GB ..."
	@$(PIP) install -c constraints.txt -e '.[cpu,train,web,dev]'
	@touch $@ $(VENV)/.runtime

# Install the Debian packages that are missing where that is allowed, else say which they are.
define debian
command -v dpkg-query >/dev/null || exit 0; missing=""; \
for p in $(1); do \
	dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
done; \
[ -z "$$missing" ] && exit 0; \
if [ "$$(id -u)" = 0 ]; then sudo=""; elif sudo -n true 2>/dev/null; then sudo="sudo"; else \
	echo "not installed, and not allowed to: sudo apt-get install$$missing"; exit 0; fi; \
echo "installing$$missing ..."; \
$$sudo apt-get update -qq && \
$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing \
	>/dev/null || echo "could not install them; go on with: apt-get install$$missing"
endef
