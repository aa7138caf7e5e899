"""The words, tables and figures of each notebook, one file a chapter."""
