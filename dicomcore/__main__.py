"""``python -m dicomcore`` is the command line program."""

from dicomcore.cli import main

if __name__ == "__main__":
    main()
