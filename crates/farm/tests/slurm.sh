#!/bin/bash
# Runs a farm of 12 tiny shots on a real Slurm: one slurmctld and two slurmd on this machine, in a temporary folder. In the middle a
# task is cancelled, one is killed, one is put back into the queue. All videos must have the bytes of `anicrafter farm run`.
#
#   crates/farm/tests/slurm.sh [PROGRAM]      # target/debug/anicrafter where none is named
#
# Needs root and Debian's slurmctld, slurmd, slurm-client and munge. KEEP=1 keeps the folder.
set -euo pipefail

here=$(cd "$(dirname "$0")/../../.." && pwd)
program=$(realpath "${1:-$here/target/debug/anicrafter}")
steps=${STEPS:-60}
for tool in slurmctld slurmd sbatch munged; do
    command -v "$tool" >/dev/null || { echo "$tool isn't installed: apt-get install slurm-wlm munge" >&2; exit 3; }
done
work=$(mktemp -d /tmp/anicrafter-slurm.XXXXXX)
host=$(hostname -s)
# Below the ports that the system hands out itself.
base=$((20000 + RANDOM % 12000))
daemons=()

finish() {
    code=$?
    for daemon in "${daemons[@]}"; do kill "$daemon" 2>/dev/null || true; done
    wait 2>/dev/null || true
    if [ "$code" -ne 0 ]; then
        tail -n 40 "$work"/slurm/*.log "$work"/farm-slurm/logs/*.log 2>/dev/null || true
    fi
    [ -n "${KEEP:-}" ] && echo "kept $work" || rm -rf "$work"
    exit "$code"
}
trap finish EXIT
say() { printf '%5d s  %s\n' "$SECONDS" "$*"; }

# --- the cluster
mkdir -p "$work"/slurm/{state,spool1,spool2} "$work/munge"
chmod 700 "$work/munge"
dd if=/dev/urandom bs=1 count=1024 of="$work/munge/key" 2>/dev/null
chmod 400 "$work/munge/key"
chmod 755 "$work"
socket=$work/slurm/munge.socket
munged --foreground --force --key-file="$work/munge/key" --socket="$socket" --pid-file="$work/munge/pid" \
    --log-file="$work/munge/log" --seed-file="$work/munge/seed" >"$work/munge/out" 2>&1 &
daemons+=($!)
cat >"$work/slurm/slurm.conf" <<CONF
ClusterName=shots
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$socket
CredType=cred/munge
SlurmctldPort=$base
SlurmctldPidFile=$work/slurm/slurmctld.pid
SlurmctldLogFile=$work/slurm/slurmctld.log
SlurmdPidFile=$work/slurm/%n.pid
SlurmdLogFile=$work/slurm/%n.log
SlurmdSpoolDir=$work/slurm/spool-%n
StateSaveLocation=$work/slurm/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobRequeue=1
KillWait=15
MinJobAge=3600
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=2,sched_min_interval=0,batch_sched_delay=0
NodeName=shots[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((base + 1))-$((base + 2))] CPUs=1 RealMemory=16000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm/slurm.conf
for _ in $(seq 50); do [ -S "$socket" ] && break; sleep 0.1; done
slurmctld -D -c >"$work/slurm/slurmctld.out" 2>&1 &
daemons+=($!)
for node in shots1 shots2; do
    mkdir -p "$work/slurm/spool-$node"
    slurmd -D -N "$node" >"$work/slurm/$node.out" 2>&1 &
    daemons+=($!)
done
for _ in $(seq 150); do
    [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ] && break
    sleep 0.2
done
[ "$(sinfo -h -t idle -o %D)" = 2 ] || { echo "the nodes don't come up" >&2; sinfo -N -l; exit 1; }
say "two nodes are up: $(sinfo -V)"

# --- twelve shots
demo=$here/assets/demo
cat >"$work/base.toml" <<JOB
[input]
actors = [{ avatar = "$demo/avatar.safetensors", motion = "$demo/motion.json" }]
background = "$demo/background.mp4"
character = "$demo/character.png"
end = 7
[video]
width = 80
height = 48
window = 5
overlap = 1
[sampling]
steps = $steps
JOB
echo "name,seed,prompt" >"$work/shots.csv"
for n in $(seq -w 1 12); do
    echo "shot-$n,$((10#$n)),$( ((10#$n % 2)) && echo || echo 'a dancer in the rain')"
done >>"$work/shots.csv"
export_for() {
    "$program" farm export --for "$1" -o "$work/farm-$1" --base "$work/base.toml" "$work/shots.csv" "${@:2}"
}
export_for local >/dev/null
export_for slurm --program "$program" --cores 1 --memory denoise=1 --memory text=1 --memory condition=1 --memory decode=1
"$program" --progress none farm run "$work/farm-local" --at-once 2
say "the shots of farm run are made"

# --- on Slurm
submit=$work/farm-slurm/slurm/submit.sh
sh "$submit"
task_of() { # the number of a running denoise task, other than those that are named
    squeue -h -t RUNNING -n anicrafter-denoise -o '%F_%K' | grep -v -x -F "${1:-none}" | grep -v -x -F "${2:-none}" | head -n 1
}
running() {
    for _ in $(seq 600); do
        found=$(task_of "$@" || true)
        [ -n "$found" ] && { echo "$found"; return; }
        sleep 0.2
    done
    echo "no denoise task runs" >&2
    squeue >&2
    exit 1
}
pid_of() { # the process of an array's task
    pgrep -f -- "farm task $work/farm-slurm --shot ${1#*_} --task denoise" | head -n 1 || true
}
two=0
look() { # how many nodes work at once
    nodes=$(squeue -h -t RUNNING -o '%N' | sort -u | wc -l)
    [ "$nodes" -le "$two" ] || two=$nodes
}
cancelled=$(running)
scancel "$cancelled"
say "cancelled $cancelled"
killed=$(running "$cancelled")
for _ in $(seq 100); do pid=$(pid_of "$killed"); [ -n "$pid" ] && break; sleep 0.1; done
kill -9 "$pid"
say "killed process $pid of $killed"
requeued=$(running "$cancelled" "$killed")
scontrol requeue "$requeued"
say "requeued $requeued"
drain() {
    while true; do
        look
        # What waits for a task that was cancelled waits for ever.
        stuck=$(squeue -h -o '%i %r' | awk '$2 == "DependencyNeverSatisfied" { print $1 }')
        [ -n "$stuck" ] && scancel $stuck
        # Slurm lets what was requeued wait for two minutes.
        for late in $(squeue -h -t PENDING -o '%i %r' | awk '$2 == "BeginTime" { print $1 }'); do
            scontrol update "jobid=$late" starttime=now || true
        done
        [ -z "$(squeue -h)" ] && return
        [ "$SECONDS" -gt "${LIMIT:-900}" ] && { squeue; "$program" farm status "$work/farm-slurm"; exit 1; }
        sleep 1
    done
}
drain
say "the queue is empty; up to $two nodes worked at once"
"$program" farm status "$work/farm-slurm"
left=$("$program" farm todo "$work/farm-slurm")
[ "$left" = "${cancelled#*_}" ] || { echo "only ${cancelled#*_} should be left, not: $left" >&2; exit 1; }
[ "$two" = 2 ] || { echo "only $two node worked" >&2; exit 1; }
sh "$submit"
drain
"$program" farm status "$work/farm-slurm"
[ -z "$("$program" farm todo "$work/farm-slurm")" ]
for n in $(seq -w 1 12); do
    cmp "$work/farm-local/videos/shot-$n.mp4" "$work/farm-slurm/videos/shot-$n.mp4"
done
say "12 videos have the bytes of farm run"
say "put back into the queue by themselves: $(grep -h 'back into the queue' "$work"/farm-slurm/logs/*.log | sort | uniq -c | tr '\n' ';')"

# --- the same shots in an object store: a folder stands for it, which no task is told of as one
mkdir "$work/store"
store=file://$work/store/farm
if "$program" farm status "$store" --cache "$work/here" 2>&1 | grep -q -e '--features cloud'; then
    say "no object stores in this build: that part is left out"
    exit
fi
"$program" farm export --for slurm -o "$store" --cache "$work/here" --base "$work/base.toml" "$work/shots.csv" \
    --program "$program" --cores 1 --memory denoise=1 --memory text=1 --memory condition=1 --memory decode=1
export ANICRAFTER_CACHE=$work/there
sh "$work"/here/*/slurm/submit.sh
cancelled=$(running)
scancel "$cancelled"
killed=$(running "$cancelled")
for _ in $(seq 100); do pid=$(pgrep -f -- "--shot ${killed#*_} --task denoise" | head -n 1 || true); [ -n "$pid" ] && break; sleep 0.1; done
kill -TERM "$pid"
say "cancelled $cancelled, told process $pid of $killed to stop"
drain
sh "$work"/here/*/slurm/submit.sh
drain
"$program" farm status "$store" --cache "$work/here"
[ -z "$("$program" farm todo "$store" --cache "$work/here")" ]
"$program" farm collect "$store" --cache "$work/here" -o "$work/videos" >/dev/null
for n in $(seq -w 1 12); do
    cmp "$work/farm-local/videos/shot-$n.mp4" "$work/videos/shot-$n.mp4"
done
say "12 videos of the object store have the bytes of farm run"
