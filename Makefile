# Each target does all of its own set-up in .venv; nothing is installed anywhere else.
PYTHON ?= python3.11
VENV := .venv
STAMP := $(VENV)/.installed
# Blender 5.2 has Python 3.13: where that is found, what needs no PyTorch is tested on it too.
PYTHON52 ?= $(shell for p in python3.13 $(HOME)/.pyenv/versions/3.13*/bin/python3.13; do \
	$$p -c "import venv" 2>/dev/null && echo $$p && break; done)
VENV52 := .venv52
# Two processes of one thread each: two cores are done in half the time.
TWO := -n 2 --dist loadfile
STAMP52 := $(VENV52)/.installed
TESTS52 := tests/addon tests/bake tests/strangers tests/test_arkit.py tests/test_caches.py tests/test_extension.py \
	tests/test_flame.py tests/test_head.py

.PHONY: demo test quick lint coverage extension repository clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check -q -e '.[blender,train,test,lint]'
	touch $(STAMP)

$(STAMP52): tests/blender52.txt
	$(PYTHON52) -m venv $(VENV52)
	$(VENV52)/bin/pip install --disable-pip-version-check -q -r tests/blender52.txt
	touch $(STAMP52)

demo: $(STAMP)
	mkdir -p demo
	HF_HUB_OFFLINE=1 $(VENV)/bin/histalk bake tests/data/speech.flac --out demo/speech.blend --bake basis --preview demo/speech.mp4

test: $(STAMP) $(if $(PYTHON52),$(STAMP52)) lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest $(TWO) tests
	$(if $(PYTHON52),$(VENV52)/bin/python -m pytest $(TWO) -m blender $(TESTS52),@echo "No Python 3.13 here: nothing was tested on Blender 5.2.")

# For every save: what needs neither Blender, PyTorch nor more than a few seconds.
quick: $(STAMP)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest $(TWO) -m "not slow and not blender and not torch and not window" tests

lint: $(STAMP)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports

coverage: $(STAMP)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest $(TWO) --cov --cov-report=term:skip-covered tests

extension: $(STAMP)
	$(VENV)/bin/python tools/build_extension.py

repository: $(STAMP)
	$(VENV)/bin/python tools/build_extension.py --repository

clean:
	rm -rf $(VENV) $(VENV52) demo build dist
