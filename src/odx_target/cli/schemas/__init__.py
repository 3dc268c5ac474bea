"""The JSON that commands print: a table of all results, their schemas, and the document about them."""
