"""An analytical workbench for customer lifetime value."""

__version__ = "0.1.0"
__all__ = ["open_run"]


def __getattr__(name: str):
    if name == "open_run":  # loaded when asked for: the study and the command line must start fast
        from clvkit.workbench import open_run

        return open_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
