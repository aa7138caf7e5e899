"""Publishing: notebooks executed with Papermill, made into pages that finance and auditors read."""
