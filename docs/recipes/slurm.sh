#!/bin/bash
# A sweep on the nodes of a SLURM job: sbatch --nodes=4 slurm.sh JOB NAME
# Shortly before its time is up the sweep checkpoints and stops, and the job is queued again; it then resumes.
#SBATCH --job-name=oplstm
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

job=${1:?usage: sbatch slurm.sh JOB NAME}
name=${2:?usage: sbatch slurm.sh JOB NAME}
: "${OPLSTM_HOME:?must name a folder that every node that may be the first one of the job sees}"
# The environment in which oplstm is installed must be active where sbatch is called; srun hands it on.

# Only who has this token may give work to the cluster: others can reach its ports.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]} # this script runs there
port=$((20000 + SLURM_JOB_ID % 20000))
# The path of a socket has room for 107 bytes, and SLURM's TMPDIR may take most of them.
ray=(ray start --block "--temp-dir=/tmp/ray-$SLURM_JOB_ID" "--num-cpus=${SLURM_CPUS_PER_TASK:-1}"
  "--num-gpus=${SLURM_GPUS_ON_NODE:-0}")
started=()
verb=
stopping=

# shellcheck disable=SC2329  # a trap calls it
end() {
  for step in "${started[@]}"; do kill "$step" 2>/dev/null || true; done
  wait || true
}
stop() {
  stopping=yes
  if [ -n "$verb" ]; then kill -TERM "$verb" 2>/dev/null || true; fi
}
trap end EXIT
trap stop TERM

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" "${ray[@]}" --head --port="$port" --include-dashboard=false &
started+=($!)
tries=0
until ray health-check --address "$head:$port" >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -gt 60 ]; then echo "slurm.sh: no Ray came up on $head:$port" >&2; exit 1; fi
  sleep 2
done
for node in "${nodes[@]:1}"; do
  srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" "${ray[@]}" --address="$head:$port" &
  started+=($!)
done

if [ -e "$OPLSTM_HOME/sweeps/$name/sweep.json" ]; then
  oplstm resume "$name" --ray-address "$head:$port" &
else
  oplstm sweep "$job" --name "$name" --ray-address "$head:$port" &
fi
verb=$!
if [ -n "$stopping" ]; then stop; fi # it came before there was anything to stop
code=0
wait "$verb" || code=$?
for _ in 1 2; do # the signal may have ended the wait and not the verb, whose own code the next wait returns
  if [ "$code" -le 128 ]; then break; fi
  again=0
  wait "$verb" 2>/dev/null || again=$?
  if [ "$again" -eq 127 ]; then break; fi # there was nothing to wait for
  code=$again
done
if [ -n "$stopping" ] && [ "$code" -ne 0 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
