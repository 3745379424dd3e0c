"""`python -m linecam.train`; the code is `linecam.training.train`."""

from linecam.training.train import main

if __name__ == "__main__":
    main()
