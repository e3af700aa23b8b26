"A score with its interval, which lessons, records, reports and the command share; p-values of several tests."

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    "A score, its interval, and the number of rows behind it"

    value: float  # the score
    low: float | None  # lower end; None with too few rows
    high: float | None  # upper end; None with too few rows
    n: int  # rows

    @classmethod
    def from_record(cls, record: dict) -> "Interval":
        "Return the interval that a record in run.json describes"
        return cls(record["value"], record["low"], record["high"], record["n"])

    @property
    def range(self) -> str:
        "Return the interval in words"
        return "unknown" if self.low is None else f"{self.low:.3f} to {self.high:.3f}"

    def __str__(self):
        return f"{self.value:.3f}" + ("" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]")


def format_p(
    p: float,  # of a test
    level: float = 0.05,  # of significance
) -> str:
    "Return a p-value in words: three digits, and more where rounding would put it on the other side of the level"
    if p < 0.001:
        return "p < 0.001"
    digits = 3
    while digits < 9 and (round(p, digits) <= level) != (p <= level):
        digits += 1
    return f"p = {p:.{digits}f}"


def holm(
    p: list[float],  # of several tests
) -> list[float]:
    "Return the p-values adjusted for all of them (Holm 1979)"
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted
