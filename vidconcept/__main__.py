"""`vidconcept`, and `python -m vidconcept`: the imports take a while, and may be interrupted."""

import sys

from vidconcept.signals import stop_at_signals


def main() -> None:
    stop_at_signals()
    try:
        from vidconcept.cli import main as run_command

        run_command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
