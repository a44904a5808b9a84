"""Measurements beside a floor taken in the same run; `nox -s bench` prints them."""
