"""The base of every section of a study."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A typed, frozen part of a study; unknown keys are errors.

    Each room declares its own section beside the code that uses it, and is handed that section alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
