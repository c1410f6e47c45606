"""What a run found, in a form for people and programs: violations, faults that fired, figures, and how to replay it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """One run of one scenario with one seed. ``trace`` is equal for equal runs."""

    scenario: str
    seed: int
    violations: list[str] = field(default_factory=list)
    fired: dict[str, int] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    trace: str = ""

    @property
    def passed(self) -> bool:
        return not self.violations

    @property
    def replay(self) -> str:
        """The command that runs it again."""
        return f"python -m tests.simulation --scenario {self.scenario} --seed {self.seed}"

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        lines = [f"{self.scenario} seed {self.seed}: {verdict}  trace {self.trace[:16]}"]
        lines += [f"  {violation}" for violation in self.violations]
        lines += [] if self.passed else [f"  replay: {self.replay}"]
        if self.fired:
            lines.append("  faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(self.fired.items())))
        if self.figures:
            lines.append("  figures: " + ", ".join(f"{what} {value:g}" for what, value in self.figures.items()))
        return "\n".join(lines)
