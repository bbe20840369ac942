#!/usr/bin/env bash
# Runs one process per GPU (or per node with CPUs) on Slurm:
#
#   sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-task=1 launch/cluster/slurm.sh \
#       --config=configs/pg_rocks16.py --workdir=/shared/runs/pg_rocks16
#
# Or one run per seed, in parallel:
#
#   sbatch --array=0-4 launch/cluster/slurm.sh \
#       --config=configs/cnn_mnist.py --workdir=/shared/runs/cnn_mnist
#
# The workdir must be on a disk that all nodes share. Slurm sends SIGTERM before the time
# limit and before it preempts the job. The run then saves its state and is requeued. It
# is also requeued if a node is lost. It resumes from its newest checkpoint.
#SBATCH --job-name=dlx
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
#SBATCH --output=%x-%A_%a.out

# Exit codes after which the job is requeued: preempted (128 + SIGTERM), a lost process.
requeue="143 75"

# absl takes -flag and --flag, and a value after "=" or as the next argument.
workdir=
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --workdir=* | -workdir=*) workdir=${1#*=} ;;
        --workdir | -workdir) workdir=$2 && shift ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
if [ -z "$workdir" ]; then
    echo "slurm.sh: --workdir is missing; without it a requeued job would start again" >&2
    exit 2
fi
if [ -n "$SLURM_ARRAY_TASK_ID" ]; then
    workdir=$workdir/seed$SLURM_ARRAY_TASK_ID
    arguments+=(--config.seed="$SLURM_ARRAY_TASK_ID")
fi
set -- "${arguments[@]}" --workdir="$workdir"
if [ "${SLURM_NTASKS:-1}" -gt 1 ]; then set -- "$@" --distributed; fi

# Without --kill-on-bad-exit srun would wait forever for the remaining processes.
srun --kill-on-bad-exit=1 "${PYTHON:-.venv/bin/python}" -m launch.main "$@" &
# On SIGTERM srun itself would kill its tasks immediately.
trap 'scancel --signal=TERM "$SLURM_JOB_ID"' TERM
wait $!
code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done  # a signal interrupts wait
if [[ " $requeue " == *" $code "* ]]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $code
