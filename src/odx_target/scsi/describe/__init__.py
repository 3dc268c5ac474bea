"""Bytes in words, without a target: CDBs, sense data, pages, parameter lists."""
