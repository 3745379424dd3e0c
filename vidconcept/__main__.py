"""`vidconcept`, and `python -m vidconcept`: the imports take a while, and may be interrupted."""

import os
import sys

from vidconcept.signals import end_at_signals, stop_at_signals


def main() -> None:
    stop_at_signals()
    # Read when NumPy is imported. Its products here are small: a second thread for each only takes the processor away
    # from the stages that run beside it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Read when PyTorch is imported. Its threads otherwise keep a processor busy while they wait for one another, and
    # decoding, drawing and other programs need it: on a busy machine that took eight times as long as the work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from vidconcept.cli import main as run_command

        run_command()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        # What libraries do when the process ends would print where it was interrupted.
        end_at_signals()


if __name__ == "__main__":
    main()
