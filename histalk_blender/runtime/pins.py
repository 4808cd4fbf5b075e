"""The exact versions of PyTorch, transformers and their dependencies that HiSTalk is tested with.

torch itself pins the packages it needs for CUDA.
"""

TORCH = "2.13.0"
TRANSFORMERS = "5.23.0"
BPY = "4.5.15"  # Blender as a module, for the command line outside of Blender

PINS = """\
annotated-doc==0.0.7
anyio==4.16.0
click==8.5.1
filelock==4.3.1
fsspec==2026.9.0
h11==0.16.0
hf-xet==1.8.0
httpcore2==2.16.2
httpx2==2.16.2
huggingface-hub==2.4.0
idna==3.20
jinja2==3.1.6
markdown-it-py==4.3.0
markupsafe==3.0.4
mdurl==0.1.2
mpmath==1.3.0
networkx==3.6.1
packaging==26.4
pygments==2.21.0
pyyaml==6.0.4
regex==2026.11.19
rich==15.0.0
safetensors==0.8.0
setuptools==84.2.1
shellingham==1.5.4
sympy==1.14.0
tokenizers==0.23.3
tqdm==4.70.1
truststore==0.10.5
typer==0.29.2
typing-extensions==4.16.0
"""
