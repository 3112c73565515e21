#!/bin/sh
# Sees that the system has what pip cannot bring: a C++ compiler (llama.cpp is built on installation), a Chromium for
# the page's tests, and npm for the texts that the tests measure on. Installs them with apt-get where that is possible,
# else says what is missing.
set -eu
missing=""
command -v c++ >/dev/null 2>&1 || missing="$missing g++"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
  command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
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
