"""The shapes of the phantom: a water body with inserts as ellipsoids, in the patient coordinates of PS3.3 C.7.6.2 (mm).

Every picture, contour and dose value of the study is computed from these shapes, so that all objects agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BODY", "STRUCTURES", "TARGET", "Beam", "Ellipsoid"]

Floats = NDArray[np.float64]
Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipsoid with its axes along x, y and z; ``hounsfield`` is None for a volume that only planning knows."""

    number: int
    name: str
    interpreted_type: str
    colour: tuple[int, int, int]
    centre: Point
    radii: Point
    hounsfield: float | None

    def section(self, z: float) -> tuple[float, float] | None:
        """Half axes (x, y) of the cut at ``z``, None where the plane misses it."""
        scale = 1.0 - ((z - self.centre[2]) / self.radii[2]) ** 2
        return (self.radii[0] * scale**0.5, self.radii[1] * scale**0.5) if scale > 1e-6 else None

    def outline(self, z: float, points: int) -> Floats | None:
        """``points`` x 3 vertices of the cut at ``z``, counter-clockwise seen from the feet, in 0.01 mm."""
        half = self.section(z)
        if half is None:
            return None
        angle = np.arange(points) * (2.0 * np.pi / points)
        x = self.centre[0] + half[0] * np.cos(angle)
        y = self.centre[1] + half[1] * np.sin(angle)
        vertices: Floats = np.round(np.column_stack([x, y, np.full(points, z)]), 2)
        return vertices + 0.0  # no negative zeros

    def contains(self, x: Floats, y: Floats, z: Floats | float) -> NDArray[np.bool_]:
        """Whether each point lies inside; the arguments broadcast."""
        cx, cy, cz = self.centre
        rx, ry, rz = self.radii
        inside: NDArray[np.bool_] = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 <= 1.0
        return inside

    def crossing(self, source: Floats, direction: Floats) -> tuple[Floats, Floats]:
        """Where rays from ``source`` along unit vectors (n x 3) enter and leave, in mm; equal where a ray misses."""
        radii = np.asarray(self.radii)
        start = (source - np.asarray(self.centre)) / radii
        step = direction / radii
        a = np.einsum("...i,...i->...", step, step)
        b = step @ start
        root = np.sqrt(np.maximum(b * b - a * (start @ start - 1.0), 0.0))
        return (-b - root) / a, (-b + root) / a


@dataclass(frozen=True, slots=True)
class Beam:
    """A static photon beam (IEC 61217), patient head first supine; lengths in mm at the isocentre."""

    number: int
    name: str
    gantry: float
    half_width: float = 50.0
    half_length: float = 45.0
    distance: float = 1000.0

    @property
    def axis(self) -> Floats:
        """Unit vector from the source to the isocentre."""
        angle = np.deg2rad(self.gantry)
        return np.array([-np.sin(angle), np.cos(angle), 0.0])

    @property
    def sideways(self) -> Floats:
        """Unit vector along +x of the beam limiting device."""
        angle = np.deg2rad(self.gantry)
        return np.array([np.cos(angle), np.sin(angle), 0.0])

    def source(self, isocentre: Point) -> Floats:
        """Where the source stands, in patient coordinates."""
        return np.asarray(isocentre) - self.distance * self.axis


BODY = Ellipsoid(1, "BODY", "EXTERNAL", (0, 200, 80), (0.0, 0.0, 0.0), (150.0, 110.0, 100_000.0), 0.0)
TARGET = Ellipsoid(2, "PTV", "PTV", (255, 64, 64), (0.0, -10.0, 0.0), (36.0, 32.0, 34.0), None)
STRUCTURES = (
    BODY,
    TARGET,
    Ellipsoid(3, "GTV", "GTV", (255, 160, 0), (0.0, -10.0, 0.0), (26.0, 22.0, 24.0), 45.0),
    Ellipsoid(4, "Lung insert L", "ORGAN", (80, 160, 255), (85.0, -15.0, 0.0), (36.0, 48.0, 400.0), -720.0),
    Ellipsoid(5, "Lung insert R", "ORGAN", (80, 160, 255), (-85.0, -15.0, 0.0), (36.0, 48.0, 400.0), -720.0),
    Ellipsoid(6, "Bone insert", "ORGAN", (255, 255, 160), (0.0, 68.0, 0.0), (22.0, 18.0, 900.0), 700.0),
    Ellipsoid(7, "Cord insert", "AVOIDANCE", (200, 80, 255), (0.0, 68.0, 0.0), (7.0, 7.0, 900.0), 30.0),
)
