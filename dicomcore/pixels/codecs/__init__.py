"""Codecs, one module a family; the table that names them is `dicomcore.pixels.codec.CODECS`."""
