#!/usr/bin/env bash
# A run of one process a GPU (or a node, of CPUs), on Slurm:
#
#   sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-task=1 launch/cluster/slurm.sh \
#       --config=configs/pg_rocks16.py --workdir=/shared/runs/pg_rocks16
#
# Or a run for each seed, side by side:
#
#   sbatch --array=0-4 launch/cluster/slurm.sh \
#       --config=configs/cnn_mnist.py --workdir=/shared/runs/cnn_mnist
#
# The workdir is on a disk that all nodes share. Slurm sends SIGTERM a while before the
# time is up or the node is wanted for others: the run then saves itself and is queued
# again, as it is where a node was lost; it goes on from its newest checkpoint.
#SBATCH --job-name=dlx
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
#SBATCH --output=%x-%A_%a.out

# Codes that mean "start it again": preempted (128 + SIGTERM), another process lost.
again="143 75"

if [ -n "$SLURM_ARRAY_TASK_ID" ]; then
    seed=$SLURM_ARRAY_TASK_ID
    set -- "$@" --config.seed="$seed"
    for argument; do
        shift
        case $argument in --workdir=*) argument=$argument/seed$seed ;; esac
        set -- "$@" "$argument"
    done
fi
if [ "${SLURM_NTASKS:-1}" -gt 1 ]; then set -- "$@" --distributed; fi

# Without --kill-on-bad-exit the others would be waited for in vain.
srun --kill-on-bad-exit=1 "${PYTHON:-.venv/bin/python}" -m launch.main "$@" &
# srun itself would kill its tasks at once.
trap 'scancel --signal=TERM "$SLURM_JOB_ID"' TERM
wait $!
code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done  # a signal ends a wait
if [[ " $again " == *" $code "* ]]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $code
