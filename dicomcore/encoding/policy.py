"""How faults in encoded data are met: collected as `Issue`s (the default, as the field's readers do) or raised."""

from __future__ import annotations

from dataclasses import dataclass

from dicomcore.errors import DicomError, EncodingError, Issue

__all__ = ["LENIENT", "Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Leniency as a value. ``issue_count`` bounds what hostile data can make a reader collect in one list."""

    lenient: bool = True
    issue_count: int = 1000

    @classmethod
    def strict(cls) -> Policy:
        """The first fault raises, with the Issue's fields."""
        return cls(lenient=False)

    def accept(self, issue: Issue, issues: list[Issue], *, error: type[DicomError] = EncodingError) -> None:
        """Collect the issue, or raise it as ``error``. After ``issue_count`` of them one more says so."""
        if not self.lenient:
            raise error(issue.message, offset=issue.offset, path=issue.path, clause=issue.clause)
        count = len(issues)
        if count < self.issue_count:
            issues.append(issue)
        elif count == self.issue_count:
            issues.append(Issue(f"more than {self.issue_count} faults; the others are not listed", offset=issue.offset))


LENIENT = Policy()
