"""`python -m attentive_gconv` is `agconv`."""

from attentive_gconv.cli import main

if __name__ == "__main__":
    main()
