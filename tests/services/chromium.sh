#!/usr/bin/env bash
# A headless browser for tests: bash tests/services/chromium.sh DIR
# Installs Chromium and its driver where they are missing (Debian, as root); DIR gets the log of that.
set -euo pipefail

fail() { echo "chromium.sh: $*" >&2; exit 1; }

has_all() { command -v chromium >/dev/null && command -v chromedriver >/dev/null; }

dir=$1
has_all && exit
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "chromium or chromedriver is missing, and no apt-get as root"
source "$(dirname -- "${BASH_SOURCE[0]}")/apt.sh"
apt_install chromium chromium-driver
has_all || fail "apt-get cannot install chromium and chromium-driver; see $dir/apt.log"
