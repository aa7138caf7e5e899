"""Tables of survivors that the literature on contracts is fitted to, and the spells they are made of."""

import numpy as np

# Fader & Hardie (2007), table 1: customers of 1,000 who are there after each year
REGULAR = [1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173]
HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394]
# a teaching file on Blue Apron (scribd 574276354): customers of 10,000 who are there after each month
BLUE_APRON = [10000, 6426, 5023, 4146, 3556, 3109, 2822, 2535, 2312, 2105, 1945, 1945, 1786]


def spells(alive) -> tuple[np.ndarray, ...]:
    """Renewals, ended and counts of a table of survivors."""
    lost, last = -np.diff(alive), len(alive) - 1
    return np.arange(last + 1), np.arange(last + 1) < last, np.append(lost, alive[-1])
