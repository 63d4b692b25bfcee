"""The training of `scripts.train.renderer`, by the name that it had before."""

from scripts.train.renderer import main

if __name__ == "__main__":
    main()
