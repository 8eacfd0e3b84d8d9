#!/usr/bin/env bash
# A real PostgreSQL on this machine, for tests: bash tests/services/postgres.sh start DIR | stop DIR
# `start` installs it where it is missing (Debian, as root) and prints one line: POSTGRES_URI=postgresql://...
# Everything that it makes is below DIR; the server listens on a free port of loopback and stands in DIR/pids.
set -euo pipefail

fail() { echo "postgres.sh: $*" >&2; exit 1; }

programs() { find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1; }

add_programs() {
  [ ! -x "$(programs)/initdb" ] || return 0
  [ "$(id -u)" = 0 ] || fail "PostgreSQL is missing, and installing it needs root"
  command -v apt-get >/dev/null || fail "PostgreSQL is missing, and there is no apt-get to install it"
  # Without this the package makes and starts a cluster of its own.
  local config=/etc/postgresql-common/createcluster.conf
  mkdir -p "${config%/*}"
  [ -e $config ] || echo 'create_main_cluster = false' >$config
  apt_install postgresql
  [ -x "$(programs)/initdb" ] || fail "apt-get cannot install postgresql; see $dir/apt.log"
}

# PostgreSQL refuses to run as root. setpriv, unlike su and runuser, becomes the program and keeps its process id.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid=postgres --regid=postgres --init-groups "$@"; fi
  exec "$@"
}

start() {
  [ ! -e "$dir/pids" ] || fail "$dir/pids is there already: stop that server first, or choose another folder"
  mkdir -p "$dir/server"
  add_programs
  local bin password port pid
  bin=$(programs)
  [ "$(id -u)" != 0 ] || chown postgres "$dir/server"
  (as_postgres test -w "$dir/server") || fail "$dir must be a folder that the user postgres can reach"
  password=$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  cd "$dir/server"
  install -m 600 /dev/null password
  echo "$password" >password
  [ "$(id -u)" != 0 ] || chown postgres password
  (as_postgres "$bin/initdb" --pgdata=data --username=mlflow --auth=scram-sha-256 --pwfile=password \
    --encoding=UTF8 --locale=C --no-sync) >"$dir/initdb.log" 2>&1 || fail "initdb failed; see $dir/initdb.log"
  rm password
  # A session of its own, so that Ctrl-C in the tests does not reach it; nothing here must survive a power cut.
  (as_postgres setsid "$bin/postgres" -D "$dir/server/data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c fsync=off) >"$dir/postgres.log" 2>&1 </dev/null &
  pid=$!
  disown
  echo $pid >"$dir/pids"
  SECONDS=0
  while [ $SECONDS -lt 30 ]; do
    if PGPASSWORD=$password "$bin/createdb" -h 127.0.0.1 -p "$port" -U mlflow mlflow 2>>"$dir/createdb.log"; then
      echo "POSTGRES_URI=postgresql://mlflow:$password@127.0.0.1:$port/mlflow"
      return
    fi
    is_ours "$pid" || break
    sleep 0.2
  done
  stop
  fail "it did not answer within 30 s; see $dir/postgres.log and $dir/createdb.log"
}

# Only a process that was started for this folder: a number may have been given to another one meanwhile.
is_ours() { grep -qsF "$dir" "/proc/$1/cmdline"; }

stop() {
  [ -f "$dir/pids" ] || return 0
  local pid sign
  pid=$(cat "$dir/pids")
  # Fast, then immediate shutdown: the server ends its own children; KILL would leave them.
  for sign in INT QUIT KILL; do
    is_ours "$pid" || break
    kill -s $sign "$pid" 2>/dev/null || true
    for _ in $(seq 100); do is_ours "$pid" || break; sleep 0.1; done
  done
  rm -f "$dir/pids"
}

[ $# = 2 ] || fail "usage: postgres.sh start|stop DIR"
dir=$(realpath -m -- "$2")
source "$(dirname -- "${BASH_SOURCE[0]}")/apt.sh"
case $1 in start) start ;; stop) stop ;; *) fail "usage: postgres.sh start|stop DIR" ;; esac
