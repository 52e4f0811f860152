"""`python -m cdc_cli` is the same program as `cdc`."""

from cdc_cli.cli.app import main

if __name__ == "__main__":
    main()
