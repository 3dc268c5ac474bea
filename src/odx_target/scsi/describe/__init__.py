"""Descriptions of CDBs, sense data, pages and parameter data as rows of text. No target is needed."""
