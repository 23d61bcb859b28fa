"""Several rounds of one measurement: how they are taken and summed up."""

import statistics


def interleave(rounds, sides):
    """Each round runs every side once, in an order that turns: noise that drifts meets all alike.

    sides: {name: callable}. Returns {name: [result of each round]}.
    """
    names = list(sides)
    results = {name: [] for name in names}
    for i in range(rounds):
        for name in names[i % len(names):] + names[:i % len(names)]:
            results[name].append(sides[name]())
    return results


class Series:
    """One figure over the rounds."""

    def __init__(self, values):
        self.values = list(values)

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def least(self):
        return min(self.values)

    @property
    def most(self):
        return max(self.values)

    def added_to(self, base, per=1.0):
        """Median of what each round has more than the same round of `base`."""
        return Series((mine - bare) / per for mine, bare in zip(self.values, base.values))

    def times(self, base):
        return Series(mine / bare for mine, bare in zip(self.values, base.values))

    def text(self, digits=0):
        return f"{self.median:.{digits}f} ({self.least:.{digits}f}–{self.most:.{digits}f})"

    def to_json(self):
        return {"median": self.median, "min": self.least, "max": self.most, "rounds": self.values}
