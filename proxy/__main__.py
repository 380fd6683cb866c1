"""python -m proxy: the same as `leeward`."""

from proxy.cli import main

if __name__ == "__main__":
    main()
