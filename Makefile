# Everything happens in a virtual environment, .venv, at the root.
#   make run    set up what is needed and run the daemon (ARGS="--source default" for more)
#   make test   set up everything and run all checks and tests

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

# Capture needs PortAudio; the tests need the real counterparts they run against.
DEBIAN_RUN := libportaudio2
DEBIAN_TEST := libportaudio2 mosquitto mosquitto-clients pulseaudio pulseaudio-utils \
	libasound2-plugins icecast2 ffmpeg tmux openssl

.PHONY: run test check format picture readme constraints clean

run: $(VENV)/.runtime
	@$(call debian,$(DEBIAN_RUN))
	@$(BIN)/genred run $(ARGS)

test: check
	@$(call debian,$(DEBIAN_TEST))
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.everything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/vulture

format: $(VENV)/.everything
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The dashboard's picture, and every block of the README that a command prints.
picture: $(VENV)/.runtime
	$(BIN)/genred picture --out docs/dashboard.svg

readme: $(VENV)/.everything picture
	$(BIN)/python tests/update_readme.py

constraints: $(VENV)/.everything
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip > constraints.txt

clean:
	rm -rf $(VENV) build runs

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
	@$(PIP) install -c constraints.txt -e '.[cpu,train,dev]'
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
