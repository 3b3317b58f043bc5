"""What the tests of a user's code share."""

from tests.support.own import folder

__all__ = ["folder"]
