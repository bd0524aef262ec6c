"""A small world of contests on loopback, for `make demo` and for the tests: no network, no accounts."""
