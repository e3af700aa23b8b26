"A score with its interval: the value that lessons, records, reports and the command share."

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
