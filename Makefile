# make demo   the main job on the embedded, synthetic corpus: make it, train, evaluate, report
# make test   the tests; make test-all has those as well that take longest
# make check  what .ci/run checks beside the tests: format, lint, types, import layers, docs
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# pip would compile every module on one core, also those that nothing imports. The tests want it done
# before, by all cores: they take warnings for errors, also those of compiling what others wrote. torch holds
# a file for Python 3.12 alone, for which compileall fails: what cannot be compiled is left as it is. pip takes
# one core: on another what it brought first is compiled while it brings the rest.
COMPILE := $(BIN)/python -m compileall -q -x '/tests?/'
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile

# Each worker starts mien many times: what it compiles of mien is kept, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

# Which tests, as pytest's -m takes it, and the profile that says how many examples of properties.
TESTS := not extended
EXAMPLES := quick

.PHONY: demo test test-all check format lint types layers site clean

# torch first and pinned: a range can pull a build with several GB of CUDA packages
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) "$$(grep '^torch==' constraints.txt)"
	$(INSTALL) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	{ $(COMPILE) $(VENV)/lib > /dev/null || true; } & \
	$(INSTALL) --constraint constraints.txt --editable ".[dev,docs]"; installed=$$?; wait; exit $$installed
	$(COMPILE) -j 0 $(VENV)/lib > /dev/null || true
	touch $@

# numba compiles parts of librosa when they are first used, and spoils its files if two processes do so
# at once: one test compiles all of them before the tests run side by side.
$(VENV)/.compiled: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --quiet -p no:cacheprovider tests/extraction/test_extractors_audio.py -k "librosa or long_recording"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/mien assets get minilm
	test -f demo/store/meta.json || $(BIN)/mien planted --out demo/store
	$(BIN)/mien train tam_ulag-planted --store demo/store --out demo/run --resume
	@echo
	@echo "Next: look at demo/run/report.md and the pictures in demo/run/figures, then try"
	@echo "  $(BIN)/mien info demo/store"
	@echo "  $(BIN)/mien train self_mm-planted --store demo/store --out demo/self_mm"
	@echo "  $(BIN)/mien compare demo/run demo/self_mm"
	@echo "  $(BIN)/mien import FILE.pkl --corpus mosi --out stores/mosi     your own published file"

test: $(VENV)/.installed-dev $(VENV)/.compiled
	if command -v ldconfig > /dev/null; then .ci/system; fi
	$(BIN)/mien assets get minilm mpnet face-landmarker expression whisper-tiny-en silero-vad
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses auto --dist worksteal -m "$(TESTS)" \
		--hypothesis-profile $(EXAMPLES)

# the tests that make test leaves out to be done in time, too: on a Ray cluster, and a few others
test-all: TESTS :=
test-all: EXAMPLES := mien
test-all: test

# mypy takes longer than all the others, and one core: make --jobs 2 check
check: types format lint layers site

types: $(VENV)/.installed-dev
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

site: $(VENV)/.installed-dev
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) demo site build
