#!/bin/bash
#SBATCH --job-name=vidconcept
#SBATCH --array=0-7
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --requeue
# Two minutes before the time is up: each worker finishes its window, and the same array goes on later.
#SBATCH --signal=TERM@120
# Then, once: sbatch --dependency=afterany:JOBID --wrap "vidconcept batch --out runs/"
srun vidconcept batch archive/ --concepts scratch,dent --out runs/ \
  --shard "${SLURM_ARRAY_TASK_ID}/${SLURM_ARRAY_TASK_COUNT}" --jobs 1
