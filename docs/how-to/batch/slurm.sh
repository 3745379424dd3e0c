#!/bin/bash
#SBATCH --job-name=vidconcept
#SBATCH --array=0-7
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
# When a node fails. When the time is up nothing begins again by itself: submit the array again, or the parts that are
# left, sbatch --array=0,3 slurm.sh
#SBATCH --requeue
# Two minutes before the time is up each worker finishes its window.
#SBATCH --signal=TERM@120
# Then, once: sbatch --dependency=afterany:JOBID --wrap "vidconcept batch --out runs/"
# Of 8 parts, as above, however many of them are submitted.
srun vidconcept batch archive/ --concepts scratch,dent --out runs/ \
  --shard "${SLURM_ARRAY_TASK_ID}/8" --jobs 1
