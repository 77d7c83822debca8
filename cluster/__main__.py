"""`python -m cluster VERB` is the same as the console script `micromodels VERB`."""

from cluster.cli.main import main

if __name__ == "__main__":
    main()
