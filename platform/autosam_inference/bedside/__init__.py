"""The command that a clinic runs: scans in, and of each a folder with its label map, measurements and a picture.

A scan's files and every log are without what tells who the patient is; only the DICOM objects, which a PACS files under
the patient, have it. See ``naming`` for what scans are called.
"""
