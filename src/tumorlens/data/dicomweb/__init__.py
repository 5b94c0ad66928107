"""``dicomweb:https://…``: MR series found on a DICOMweb server (PS3.18), fetched slice by slice into memory only."""
