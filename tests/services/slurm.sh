#!/usr/bin/env bash
# A real SLURM of one node on this machine, for tests: bash tests/services/slurm.sh start DIR | stop DIR
# `start` installs it where it is missing (Debian, as root) and prints one line: SLURM_CONF=DIR/slurm.conf.
# Everything that it makes is below DIR; everything that it starts listens on loopback and stands in DIR/pids.
set -euo pipefail

fail() { echo "slurm.sh: $*" >&2; exit 1; }

has_all() { local name; for name in slurmctld slurmd sbatch munged; do command -v "$name" >/dev/null || return 1; done; }

add_programs() {
  has_all && return
  command -v apt-get >/dev/null || fail "SLURM or MUNGE is missing, and there is no apt-get to install them"
  # Without this the packages start services of their own, on ports of their own.
  local policy=/usr/sbin/policy-rc.d made=''
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; }
  apt_install slurm-wlm munge
  [ -z "$made" ] || rm -f $policy
  has_all || fail "apt-get cannot install slurm-wlm and munge; see $dir/apt.log"
}

# Both sockets are open at once, so the ports differ.
two_free_ports() {
  python3 -c '
import socket
both = [socket.socket() for _ in range(2)]
for s in both: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in both))'
}

configure() {
  local ports
  read -ra ports <<<"$(two_free_ports)"
  cat >"$dir/slurm.conf" <<CONF
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
# Without this both listen on every address of the machine.
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job is held until the credential of its first start is too old: 12 s instead of 120.
AuthInfo=socket=$dir/munge.socket,cred_expire=12
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
MpiDefault=none
# Seconds from SIGTERM to SIGKILL: a cell needs some for its checkpoint.
KillWait=20
MinJobAge=300
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 Gres=gpu:2
PartitionName=debug Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=$host MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
CONF
  # Two GPUs that are none: enough to test who gets which.
  printf 'Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n' >"$dir/gres.conf"
}

# A session of its own, so that Ctrl-C in the tests leaves the order of stopping to `stop`.
daemon() {
  local name=$1; shift
  setsid "$@" >"$dir/$name.out" 2>&1 </dev/null &
  echo $! >>"$dir/pids"
  disown
}

start() {
  local pid
  [ "$(id -u)" = 0 ] || fail "a SLURM that starts jobs needs root"
  [ ! -e "$dir/pids" ] || fail "$dir/pids is there already: stop that SLURM first, or choose another folder"
  mkdir -p "$dir/state" "$dir/spool"
  add_programs
  configure
  head -c 1024 /dev/urandom >"$dir/munge.key"
  chmod 400 "$dir/munge.key"
  # --force: the folders above may be closed to other users, who need not come in.
  daemon munged munged --force --foreground --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
    --pid-file="$dir/munge.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed"
  for _ in $(seq 50); do [ ! -S "$dir/munge.socket" ] || break; sleep 0.1; done
  [ -S "$dir/munge.socket" ] || give_up "munged made no socket within 5 s; see $dir/munged.out"
  daemon slurmctld slurmctld -D -f "$dir/slurm.conf"
  daemon slurmd slurmd -D -f "$dir/slurm.conf" -N "$host"
  SECONDS=0
  while [ $SECONDS -lt 60 ]; do
    if [ "$(timeout 5 sinfo --noheader --partition=debug --format=%t 2>/dev/null)" = idle ]; then
      echo "SLURM_CONF=$SLURM_CONF"
      return
    fi
    while read -r pid; do is_ours "$pid" || give_up "a daemon ended by itself; see $dir/*.out"; done <"$dir/pids"
    sleep 0.5
  done
  give_up "the node was not idle within 60 s; see $dir/*.out"
}

give_up() { stop; fail "$*"; }

# Jobs outlive slurmd. First those that wait, or they would start when the others end; of those that run, the
# processes: scancel gives them KillWait seconds, even with --signal=KILL. Where SLURM is broken, some of it fails.
end_jobs() {
  local pids
  timeout 5 scancel --quiet --user=root --state=PENDING || true
  timeout 5 scancel --quiet --user=root || true
  for _ in $(seq 25); do
    mapfile -t pids < <(timeout 5 scontrol listpids | awk 'NR > 1 && $1 > 1 {print $1}')
    [ ${#pids[@]} -gt 0 ] || return 0
    kill -KILL "${pids[@]}" || true
    sleep 0.2
  done
} 2>/dev/null

# Only a process that was started for this folder: a number may have been given to another one meanwhile.
is_ours() { grep -qsF "$dir" "/proc/$1/cmdline"; }

stop() {
  [ -f "$dir/pids" ] || return 0
  local pid sign
  [ ! -S "$dir/munge.socket" ] || end_jobs
  # The last one first: munged serves the others until they are gone.
  for pid in $(tac "$dir/pids"); do
    for sign in TERM KILL; do
      is_ours "$pid" || break
      kill -s $sign "$pid" 2>/dev/null || true
      for _ in $(seq 100); do is_ours "$pid" || break; sleep 0.1; done
    done
  done
  rm -f "$dir/pids"
}

[ $# = 2 ] || fail "usage: slurm.sh start|stop DIR"
dir=$(realpath -m -- "$2")
source "$(dirname -- "${BASH_SOURCE[0]}")/apt.sh"
host=$(hostname -s)
export SLURM_CONF=$dir/slurm.conf
case $1 in start) start ;; stop) stop ;; *) fail "usage: slurm.sh start|stop DIR" ;; esac
