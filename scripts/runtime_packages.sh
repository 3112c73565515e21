#!/bin/sh
# Sees that the system has what `publicai-edge runtime build` and its long tests work with. Installs it with apt-get
# where that is possible, else says what is missing.
set -eu
missing=""
command -v mmdebstrap >/dev/null 2>&1 || missing="$missing mmdebstrap debian-archive-keyring"
command -v setpriv >/dev/null 2>&1 || missing="$missing util-linux"
command -v qemu-aarch64-static >/dev/null 2>&1 || missing="$missing qemu-user-static"
command -v arch-test >/dev/null 2>&1 || missing="$missing arch-test"
command -v update-binfmts >/dev/null 2>&1 || missing="$missing binfmt-support"
run=""
[ "$(id -u)" = 0 ] || run="sudo -n"
if [ -n "$missing" ]; then
  if command -v apt-get >/dev/null 2>&1 && $run true 2>/dev/null; then
    echo "Installing$missing with apt-get."
    $run apt-get update -qq
    # shellcheck disable=SC2086 - a list of package names
    DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $missing >/dev/null
  else
    echo "Please install with your system's package manager:$missing" >&2
    exit 1
  fi
fi
# Containers often come without it; the kernel then does not know what runs programs for other processors.
if [ ! -e /proc/sys/fs/binfmt_misc/register ]; then
  $run mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
  $run update-binfmts --enable
fi
