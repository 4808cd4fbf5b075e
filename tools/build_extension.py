"""Build the extension's zip, and a repository that serves it, with Blender's own tool.

python tools/build_extension.py [--out dist] [--wheels build/wheels|none] [--repository]
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
LOCK = Path(__file__).with_name("wheels.txt")
SHIPPED = ("__init__.py", "blender_manifest.toml", "LICENSE", "LICENSES", "histalk_blender", "model_weights")
LEFT_OUT = (":!histalk_blender/training", ":!histalk_blender/cli/training.py")
# Blender 4.5 has Python 3.11, Blender 5.2 has 3.13. macOS on Intel is not there, as PyTorch no longer is.
PYTHONS = ("3.11", "3.13")
PLATFORMS = {
    "linux-x64": ("manylinux2014_x86_64", "manylinux_2_28_x86_64"),
    "windows-x64": ("win_amd64",),
    "macos-arm64": ("macosx_11_0_arm64",),
}


def blender_ext(*arguments: object) -> None:
    """Run Blender's extension tool, which lies in the bpy wheel and needs no Blender."""
    spec = importlib.util.find_spec("bpy")
    if spec is None:
        raise click.ClickException("Blender's module is missing: run `make extension`, which installs it.")
    tool = next(Path(spec.submodule_search_locations[0]).glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    done = subprocess.run([sys.executable, "-P", tool, *map(str, arguments)])
    if done.returncode:
        raise click.ClickException(f"blender_ext.py {arguments[0]} failed: see above.")


def _tracked(*options: str) -> list[str]:
    command = ["git", "ls-files", "-z", *options, "--", *SHIPPED, *LEFT_OUT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"Only a git checkout can be built from: {done.stderr.strip()}")
    return done.stdout.split("\0")[:-1]


def _locked_hashes() -> set[str]:
    return set(re.findall(r"sha256:(\w+)", LOCK.read_text()))


def locked_wheels(folder: Path, platforms: Iterable[str] = PLATFORMS) -> list[Path]:
    """Those wheels of `folder` that are for `platforms` and whose sha256 stands in the lock file."""
    locked, tags = _locked_hashes(), ["-any.", *(tag for name in platforms for tag in PLATFORMS[name])]
    fit = sorted(path for path in folder.glob("*.whl") if any(tag in path.name for tag in tags))
    return [path for path in fit if hashlib.sha256(path.read_bytes()).hexdigest() in locked]


def cached(folder: Path) -> bool:
    """Whether `folder` holds every locked wheel, so that a build needs no network."""
    return len(locked_wheels(folder)) == len(_locked_hashes())


def download_wheels(folder: Path) -> list[str]:
    """Fetch what is locked for each platform and Python.

    Returns:
        The platforms for which the index has every wheel.
    """
    complete = []
    for platform, tags in PLATFORMS.items():
        for python in PYTHONS:
            command = [sys.executable, "-P", "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
            command += ["--require-hashes", "-r", LOCK, "-d", folder, "--python-version", python]
            command += [f"--platform={tag}" for tag in tags]
            done = subprocess.run(command, capture_output=True, text=True)
            if "DO NOT MATCH THE HASHES" in done.stderr:
                raise click.ClickException(done.stderr.strip())
            if done.returncode:
                said = done.stderr.strip().splitlines()[-1]
                click.echo(f"{platform} is left out, a wheel for Python {python} is missing: {said}", err=True)
                break
        else:
            complete.append(platform)
    if not complete:
        raise click.ClickException("No platform has its wheels: --wheels none builds without any.")
    return complete


def stage(folder: Path, wheels: list[Path], platforms: list[str]) -> None:
    """Copy what ships into `folder`, the wheels too, and name them in the copy's manifest."""
    for name in _tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    for name in _tracked("--others", "--exclude-standard"):
        click.echo(f"Not in the zip, as git does not track it: {name}", err=True)
    manifest = folder / "blender_manifest.toml"
    lines = {"platforms": platforms, "wheels": [f"./wheels/{wheel.name}" for wheel in wheels]}
    listed = "\n".join(f"{key} = {json.dumps(names)}" for key, names in lines.items() if names)
    manifest.write_text(re.sub(r"^platforms = .*$", listed, manifest.read_text(), count=1, flags=re.MULTILINE))
    for wheel in wheels:
        (folder / "wheels").mkdir(exist_ok=True)
        shutil.copyfile(wheel, folder / "wheels" / wheel.name)


def settle(built: Path, out: Path) -> None:
    """Copy a zip with its entries sorted and undated, as blender_ext.py takes order and times from the disk."""
    with zipfile.ZipFile(built) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist()):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = old.getinfo(name).compress_type
            entry.external_attr = 0o100644 << 16
            new.writestr(entry, old.read(name), compresslevel=9)


def build(out: Path, wheels: Path | None) -> Path:
    """Build and validate the zip.

    Args:
        out: the folder to put it in.
        wheels: where wheels are kept, downloaded when any is missing; None for a zip without.
    """
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text())
    platforms = list(PLATFORMS)
    if wheels and not cached(wheels):
        wheels.mkdir(parents=True, exist_ok=True)
        platforms = download_wheels(wheels)
    result = out / f"{manifest['id']}-{manifest['version']}.zip"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        source, built = Path(scratch, "source"), Path(scratch, result.name)
        source.mkdir()
        stage(source, locked_wheels(wheels, platforms) if wheels else [], platforms)
        blender_ext("build", "--source-dir", source, "--output-filepath", built)
        settle(built, result)
    blender_ext("validate", result)
    return result


def build_repository(folder: Path, archive: Path) -> None:
    """Make `folder` a static extension repository of that one zip, with a page to look at."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(archive, folder)
    blender_ext("server-generate", "--repo-dir", folder, "--html")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "dist", help="Folder of the zip.")
@click.option("--wheels", default=str(ROOT / "build" / "wheels"), help="Folder where wheels are kept, or none.")
@click.option("--repository", is_flag=True, help="Also make OUT/repository.")
def main(out: Path, wheels: str, repository: bool) -> None:
    """Build the extension's zip from what git tracks."""
    archive = build(out, None if wheels == "none" else Path(wheels))
    click.echo(f"{archive}  ({archive.stat().st_size / 1e6:.1f} MB)")
    if repository:
        build_repository(out / "repository", archive)
        click.echo(f"{(out / 'repository').resolve().as_uri()}/index.json")


if __name__ == "__main__":
    main()
