# Each target does all of its own set-up in .venv; nothing is installed anywhere else.
PYTHON ?= python3.11
VENV := .venv
STAMP := $(VENV)/.installed

.PHONY: demo test extension repository clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check -q torch==2.13.0
	$(VENV)/bin/pip install --disable-pip-version-check -q -e '.[blender,train,test]'
	touch $(STAMP)

demo: $(STAMP)
	mkdir -p demo
	HF_HUB_OFFLINE=1 $(VENV)/bin/histalk bake tests/data/speech.flac --blend demo/speech.blend --bake basis --preview demo/speech.mp4

test: $(STAMP)
	$(VENV)/bin/python -m pytest tests

extension: $(STAMP)
	$(VENV)/bin/python tools/build_extension.py

repository: $(STAMP)
	$(VENV)/bin/python tools/build_extension.py --repository

clean:
	rm -rf $(VENV) demo build dist
