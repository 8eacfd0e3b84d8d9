# Sourced by the scripts beside it: Debian packages, one apt-get at a time, however many tests want one.

apt_get() { flock /var/lock/lina-lab-apt.lock env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >>"$dir/apt.log" 2>&1; }

# Lists that are there already save the slow update.
apt_install() {
  local install=(install -y --no-install-recommends "$@")
  apt_get "${install[@]}" || { apt_get update && apt_get "${install[@]}"; } || true
}
