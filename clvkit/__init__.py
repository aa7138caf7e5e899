"""An analytical workbench for customer lifetime value."""

__version__ = "0.1.0"
