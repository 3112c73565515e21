#!/bin/sh
# Sees that the system has what pip cannot bring: a C++ compiler, since llama.cpp is built on installation. With the word
# `tests`, also what the tests and benchmarks need: a Chromium for the page, a voice for what is spoken to it, npm for the
# texts that they measure on, and what pulls the plug at every system call, shuts the service in, and makes a FAT stick.
# With the word `pictures`, the letters of all ten languages, which the pictures of the page are taken with.
# Installs them with apt-get where that is possible, else says what is missing.
set -eu
missing=""
command -v c++ >/dev/null 2>&1 || missing="$missing g++"
if [ "${1:-}" = tests ]; then
  command -v npm >/dev/null 2>&1 || missing="$missing npm"
  command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
    command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
  { command -v ip || [ -x /sbin/ip ]; } >/dev/null 2>&1 || missing="$missing iproute2"
  command -v espeak-ng >/dev/null 2>&1 || missing="$missing espeak-ng"
  command -v strace >/dev/null 2>&1 || missing="$missing strace"
  command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
  { command -v mkfs.vfat || [ -x /sbin/mkfs.vfat ]; } >/dev/null 2>&1 || missing="$missing dosfstools"
fi
if [ "${1:-}" = pictures ]; then
  fonts=$(fc-list 2>/dev/null || true)
  case "$fonts" in *NotoSans-*) ;; *) missing="$missing fonts-noto-core" ;; esac
  case "$fonts" in *wqy-microhei*) ;; *) missing="$missing fonts-wqy-microhei" ;; esac
fi
[ -n "$missing" ] || exit 0
run=""
[ "$(id -u)" = 0 ] || run="sudo -n"
if command -v apt-get >/dev/null 2>&1 && $run true 2>/dev/null; then
  echo "Installing$missing with apt-get."
  $run apt-get update -qq
  # shellcheck disable=SC2086 - a list of package names
  DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
  echo "Please install with your system's package manager:$missing" >&2
  case "$missing" in *g++*) exit 1 ;; esac
fi
