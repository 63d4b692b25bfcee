"""The training of `scripts.train.autoencoder`, by the name that it had before."""

from scripts.train.autoencoder import main

if __name__ == "__main__":
    main()
