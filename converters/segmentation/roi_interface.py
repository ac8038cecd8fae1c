"""What the interfaces of all segmentation programs share: one plane segmentation and its traces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from hdmf.common import VectorData, VectorIndex
from neuroconv.tools.nwb_helpers import get_module
from neuroconv.utils import DeepDict
from pynwb import NWBFile
from pynwb.base import Images, TimeSeries
from pynwb.image import GrayscaleImage
from pynwb.ophys import (
    DfOverF,
    Fluorescence,
    ImageSegmentation,
    PlaneSegmentation,
    RoiResponseSeries,
)

from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.frame_rate import agreed_rate_hz
from nwbswitch.converters.imaging.imaging_plane import (
    PLANE_KEY,
    default_plane_metadata,
    entry,
    imaging_plane,
    with_ophys,
)
from nwbswitch.converters.nwb_modules import container
from nwbswitch.converters.segmentation.rois import (
    PIXEL,
    TRACE_DESCRIPTIONS,
    Column,
    RoiSet,
    TraceChunks,
    TraceKind,
)
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.converters.timing import STUB_SAMPLES, Timing
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import RoiBasis

MODULE_DESCRIPTION = "Regions of interest and their fluorescence."
SEGMENTATION_NAME = "PlaneSegmentation"
PIXEL_DESCRIPTION = "Pixels and weights of each ROI, in the axes of the movie and the images."


class RoiInterface(TimedInterface):
    """ROIs, traces and summary images of one plane into the processing module ophys.

    A subclass reads the `RoiSet` and passes its own arguments as ``source``.

    Parameters
    ----------
    rois
        What the files hold.
    place
        The file or folder, for messages.
    rate_hz
        Frame rate, Hz, as the study states it; must agree with the files where they state one. None where
        neither does: the traces then have to follow a movie.
    start_s
        Time of the first frame on the clock of the stream, s.
    roi_basis
        How ROIs were found, as the study states it; None takes what the files say, else activity.
    cell_type
        Cell type of all ROIs.
    depth_um
        Depth of the plane below the pia, um.
    metadata_key
        Key of this plane in metadata["Ophys"]["PlaneSegmentations"].
    source
        The other arguments of the subclass; neuroconv keeps all of them.
    """

    keywords: ClassVar[tuple[str, ...]] = ("segmentation", "roi", "fluorescence")

    def __init__(
        self,
        rois: RoiSet,
        *,
        place: Path,
        rate_hz: float | None,
        start_s: float,
        roi_basis: RoiBasis | None,
        cell_type: str,
        depth_um: float | None,
        metadata_key: str,
        source: Mapping[str, Any],
    ) -> None:
        super().__init__(
            **source,
            rate_hz=rate_hz,
            start_s=start_s,
            roi_basis=roi_basis,
            cell_type=cell_type,
            depth_um=depth_um,
            metadata_key=metadata_key,
        )
        self.rois = rois
        try:
            self.rate_hz = _rate_hz(place, rois, rate_hz)
            self.set_own_timing(_own_timing(place, rois, self.rate_hz).on(ClockMap(start_s)), place)
        except BaseException:
            self.close()
            raise
        self.roi_basis: RoiBasis = roi_basis or rois.roi_basis or "activity"
        self.cell_type = cell_type
        self.depth_um = depth_um
        self.metadata_key = metadata_key
        self.labels: Mapping[str, Column] = {}

    @property
    def n_rois(self) -> int:
        """Number of ROIs, accepted or not."""
        return self.rois.n_rois

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.rois.n_frames

    def close(self) -> None:
        """Close what traces are read from; call it after the NWB file is written."""
        self.rois.open_files.close()

    def label(self, columns: Mapping[str, Column]) -> None:
        """Take further columns, one value per ROI; they win over those that the files hold.

        Raises
        ------
        ValueError
            When a column has another number of values.
        """
        for name, column in columns.items():
            if len(column.values) != self.n_rois:
                raise ValueError(f"{name} has {len(column.values)} values for {self.n_rois} ROIs")
        self.labels = {**self.labels, **columns}

    def get_metadata_schema(self) -> dict[str, Any]:
        """Return neuroconv's base schema with the imaging plane and the plane segmentation."""
        return with_ophys(super().get_metadata_schema(), "PlaneSegmentations")

    def get_metadata(self) -> DeepDict:
        """Return the default names; paths that the program stores are left out on purpose."""
        metadata = super().get_metadata()
        own = default_plane_metadata()
        own["Ophys"]["PlaneSegmentations"] = {self.metadata_key: self._defaults()}
        metadata.deep_update(DeepDict(own))
        return metadata

    def _defaults(self) -> dict[str, str]:
        by = f"{self.rois.software} {self.rois.version}".strip()
        return {
            "name": SEGMENTATION_NAME,
            "description": f"All ROIs found by {by}; the column accepted tells which count as cells.",
            "imaging_plane_metadata_key": PLANE_KEY,
        }

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add ROIs, traces and images.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the processing module ophys.
        metadata : dict
            As from get_metadata.
        stub : bool
            Take the first 100 frames only.
        """
        self.require_times()
        metadata = self.get_metadata() if metadata is None else metadata
        fields = entry(metadata, "PlaneSegmentations", self.metadata_key, self._defaults())
        segmentation = self._segmentation(nwbfile, metadata, fields)
        suffix = fields["name"].removeprefix(SEGMENTATION_NAME)
        module = get_module(nwbfile, "ophys", MODULE_DESCRIPTION)
        container(module, ImageSegmentation).add_plane_segmentation(segmentation)
        n_frames = min(self.n_frames, STUB_SAMPLES) if stub else self.n_frames
        for kind, traces in self.rois.traces.items():
            owner = container(module, DfOverF if kind is TraceKind.DFF else Fluorescence)
            owner.add_roi_response_series(
                RoiResponseSeries(
                    name=("RoiResponseSeries" if kind is TraceKind.DFF else kind.value) + suffix,
                    description=f"{TRACE_DESCRIPTIONS[kind]} {self.rois.trace_notes.get(kind, '')}".strip(),
                    data=TraceChunks(traces, n_frames=n_frames),
                    unit="n.a.",
                    rois=segmentation.create_roi_table_region(
                        region=list(range(self.n_rois)), description="All rows of the plane segmentation."
                    ),
                    **self.timing.series_fields(n_frames),
                )
            )
        if self.rois.bad_frames is not None:
            module.add(
                TimeSeries(
                    name=f"bad_frames{suffix}",
                    description=f"Frames that {self.rois.software} marks as "
                    f"{self.rois.bad_frames_are} (true).",
                    data=self.rois.bad_frames[:n_frames],
                    unit="n.a.",
                    **self.timing.series_fields(n_frames),
                )
            )
        if self.rois.images:
            module.add(self._images(suffix))

    def _segmentation(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any], fields: Mapping[str, Any]
    ) -> PlaneSegmentation:
        masks, ends, description = self.rois.pixels, self.rois.ends, PIXEL_DESCRIPTION
        if masks is None or ends is None:  # NWB wants a mask of every ROI
            masks, ends = np.empty(0, PIXEL), np.zeros(self.n_rois, np.int64)
            description = "Not known: no ROI has pixels."
        name = "pixel_mask" if "z" not in (masks.dtype.names or ()) else "voxel_mask"
        pixels = VectorData(
            name=name, description=f"{description} {self.rois.pixel_note}".strip(), data=masks
        )
        columns: list[VectorData] = [pixels, VectorIndex(name=f"{name}_index", data=ends, target=pixels)]
        columns += [
            VectorData(name=name, description=each.description, data=_stored(each.values))
            for name, each in self._columns().items()
        ]
        return PlaneSegmentation(
            name=fields["name"],
            description=fields["description"],
            imaging_plane=imaging_plane(nwbfile, metadata, key=fields["imaging_plane_metadata_key"]),
            columns=columns,
            colnames=[column.name for column in columns if not isinstance(column, VectorIndex)],
            id=list(range(self.n_rois)),
        )

    def _columns(self) -> dict[str, Column]:
        n = self.n_rois
        columns = {
            "accepted": Column(
                f"Whether the ROI counts as a cell. {self.rois.accepted_by}", self.rois.accepted
            ),
            "cell_type": Column("Cell type, as stated for the recording.", [self.cell_type] * n),
            "roi_basis": Column(
                "How ROIs were found: activity, anatomical or unknown.", [self.roi_basis] * n
            ),
        }
        if self.depth_um is not None:
            depths = np.full(n, float(self.depth_um))
            columns["depth_um"] = Column("Depth of the imaging plane below the pia, um.", depths)
        return columns | dict(self.rois.columns) | dict(self.labels)

    def _images(self, suffix: str) -> Images:
        return Images(
            name=f"SegmentationImages{suffix}",
            description=f"Summary images that {self.rois.software} computed.",
            images=[
                GrayscaleImage(
                    name=name, description=each.description, data=np.ascontiguousarray(each.image.T)
                )
                for name, each in self.rois.images.items()
            ],
        )


def _stored(values: Any) -> Any:
    return values if isinstance(values, np.ndarray) else list(values)


def _own_timing(place: Path, rois: RoiSet, rate_hz: float | None) -> Timing:
    if rois.frame_times_s is None:
        return Timing(rois.n_frames, 0.0, rate_hz)
    try:
        return Timing.of_times(rois.frame_times_s)
    except ValueError as error:
        raise InputFileError(place, f"states frame times that cannot be used: {error}.") from error


def _rate_hz(place: Path, rois: RoiSet, stated_hz: float | None) -> float | None:
    """Return the rate of the traces; None when they have to follow a movie."""
    wrong = "If the program ran with a wrong rate, its deconvolved traces are wrong too: run it again."
    remedy = " ".join(filter(None, [rois.rate_note, "Correct rate_hz in the study file.", wrong]))
    says = f"{rois.software} ran with"
    agreed_hz = agreed_rate_hz(place, rois.rate_hz, stated_hz, says=says, remedy=remedy)
    # Programs are often told a rounded rate; the study knows better.
    return agreed_hz if stated_hz is None else float(stated_hz)
