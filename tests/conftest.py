"""Being here puts this folder on the path: every test can import the helpers that lie beside it."""
