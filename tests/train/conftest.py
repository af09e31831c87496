"""Every test here starts from the same random state, on one thread."""

from support.torch_state import one_thread, same_random_state

__all__ = ["one_thread", "same_random_state"]
