"""Run the command line as `python -m infusionlaw`."""

from infusionlaw.cli import main

if __name__ == "__main__":
    main()
