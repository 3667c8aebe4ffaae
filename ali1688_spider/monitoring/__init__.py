"""The state of everything that a person who runs crawls looks after."""
