#!/usr/bin/env bash
# A Debian unstable with Blender 5.2 and a virtual screen, to look at the panel in a real window: 2 GB, some minutes, as root.
#   tests/window/make_chroot.sh FOLDER [MIRROR]; then HISTALK_WINDOW=FOLDER make test
# Called again it mounts what a restart has unmounted.
set -euo pipefail
root=${1:?name the folder to make}
[ -e "$root/etc/debian_version" ] || debootstrap --variant=minbase --include=ca-certificates sid "$root" "${2:-$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources | head -1)}"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
mountpoint -q "$root/dev" || mount --bind /dev "$root/dev" # unmount both before deleting the folder
# What Blender's extension system imports, and what ours does besides PyTorch.
chroot "$root" apt-get install -y --no-install-recommends blender xvfb xauth openbox xdotool libgl1-mesa-dri libegl1 \
  libglx-mesa0 fonts-dejavu-core x11-apps imagemagick python3-numpy python3-requests python3-attr python3-cattr \
  python3-zstandard python3-jsonschema python3-typing-extensions python3-soundfile python3-soxr python3-safetensors
