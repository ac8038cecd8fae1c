"""The guard at the door: every file that was not made by this process is opened through these functions."""

from __future__ import annotations

from nwbswitch.schemas.hdf5_guard import check_hdf5, open_hdf5
from nwbswitch.schemas.mat_guard import load_mat, mat_array, mat_variables
from nwbswitch.schemas.npy_guard import (
    load_npy,
    load_npy_array,
    load_npy_dict,
    load_npz,
    load_pickle,
    open_npy,
)
from nwbswitch.schemas.path_guard import inside
from nwbswitch.schemas.plain_pickle import read_pickle_bytes
from nwbswitch.schemas.xml_guard import iterate_xml, read_xml
from nwbswitch.schemas.zip_guard import open_zip

__all__ = [
    "check_hdf5",
    "inside",
    "iterate_xml",
    "load_mat",
    "load_npy",
    "load_npy_array",
    "load_npy_dict",
    "load_npz",
    "load_pickle",
    "mat_array",
    "mat_variables",
    "open_hdf5",
    "open_npy",
    "open_zip",
    "read_pickle_bytes",
    "read_xml",
]
