"""What the phantom looks like to a scanner, a beam and an imager: closed formulas over the shapes, in numpy.

The dose is a plausible picture (build-up, attenuation, inverse square, penumbra), not a calculation to treat by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicomcore.rt.phantom.anatomy import BODY, STRUCTURES, Beam, Ellipsoid, Floats, Point

__all__ = ["hounsfield_plane", "percent_dose", "radiograph", "volume_histogram"]

WATER_ATTENUATION = 0.0046  # per mm, a 6 MV photon beam
BUILD_UP = 0.25  # per mm: the maximum lies near 16 mm
PENUMBRA = 3.0  # mm, width of the edge of a field
IMAGER_ATTENUATION = 0.006  # per mm of water, of the imaging beam


def hounsfield_plane(x: Floats, y: Floats, z: float, noise: float, random: np.random.Generator) -> NDArray[np.int16]:
    """HU of the plane at ``z``: rows follow ``y``, columns follow ``x``."""
    grid_x, grid_y = x[np.newaxis, :], y[:, np.newaxis]
    plane = np.full((y.size, x.size), -1000.0, np.float32)
    for shape in STRUCTURES:
        if shape.hounsfield is not None:
            plane[shape.contains(grid_x, grid_y, z)] = shape.hounsfield
    plane += noise * random.standard_normal(plane.shape, np.float32)
    return np.clip(np.rint(plane), -1024, 3071).astype(np.int16)


def percent_dose(points: Floats, beam: Beam, isocentre: Point) -> Floats:
    """Relative dose of one beam at ``points`` (n x 3, mm)."""
    source = beam.source(isocentre)
    ray = points - source
    distance = np.linalg.norm(ray, axis=-1)
    entry, _ = BODY.crossing(source, ray / distance[..., np.newaxis])
    depth = np.maximum(distance - entry, 0.0)
    along = ray @ beam.axis
    scale = beam.distance / along
    fluence = _edge(ray @ beam.sideways * scale, beam.half_width) * _edge(ray[..., 2] * scale, beam.half_length)
    dose: Floats = fluence * np.exp(-WATER_ATTENUATION * depth) * (1.0 - 0.6 * np.exp(-BUILD_UP * depth)) * scale**2
    return np.where(BODY.contains(points[..., 0], points[..., 1], points[..., 2]), dose, 0.0)


def _edge(offset: Floats, half: float) -> Floats:
    """1 inside a field, 0 outside, with a penumbra between."""
    edge: Floats = 0.5 * (np.tanh((offset + half) / PENUMBRA) - np.tanh((offset - half) / PENUMBRA))
    return edge


def radiograph(beam: Beam, isocentre: Point, receptor: float, pixel_spacing: float, size: int) -> NDArray[np.uint16]:
    """A digitally reconstructed radiograph, ``size`` x ``size``, 16 bits, bright where much is in the way."""
    source = beam.source(isocentre)
    offsets = (np.arange(size) - (size - 1) / 2.0) * pixel_spacing
    across, down = np.meshgrid(offsets, -offsets)
    target = receptor * beam.axis + across[..., np.newaxis] * beam.sideways + down[..., np.newaxis] * (0.0, 0.0, 1.0)
    direction = target / np.linalg.norm(target, axis=-1, keepdims=True)
    path = np.zeros((size, size))
    for shape in STRUCTURES:
        if shape.hounsfield is None:
            continue
        entry, leave = shape.crossing(source, direction)
        # Each insert replaces what surrounds it: the body stands in air, the cord in bone, all others in water.
        around = {"EXTERNAL": -1000.0, "AVOIDANCE": 700.0}.get(shape.interpreted_type, 0.0)
        path += (leave - entry) * (shape.hounsfield - around) / 1000.0
    signal = 1.0 - np.exp(-IMAGER_ATTENUATION * np.maximum(path, 0.0))
    return np.rint(signal * 65535.0).astype(np.uint16)


def volume_histogram(
    shape: Ellipsoid, points: Floats, dose: Floats, voxel: float, bin_width: float
) -> tuple[Floats, tuple[float, float, float]]:
    """Cumulative volume (cm3) at each multiple of ``bin_width`` (Gy), and the minimum, maximum and mean dose."""
    inside = dose[shape.contains(points[..., 0], points[..., 1], points[..., 2])]
    if inside.size == 0:
        return np.zeros(1), (0.0, 0.0, 0.0)
    bins = int(inside.max() / bin_width) + 1
    counts = np.bincount((inside / bin_width).astype(np.int64), minlength=bins)
    volume: Floats = counts[::-1].cumsum()[::-1] * voxel / 1000.0
    return volume, (float(inside.min()), float(inside.max()), float(inside.mean()))
