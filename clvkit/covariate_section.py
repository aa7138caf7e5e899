"""What a study says of covariates: which of what is known of customers may move their purchase rate and dropout."""

from typing import Literal

from pydantic import Field

from clvkit.section import Section

#: Processes whose likelihood takes covariates.
KNOWN = ("bgnbd", "mbgnbd", "paretonbd")


class CovariateSection(Section):
    """How one covariate is used."""

    on: tuple[Literal["rate", "dropout"], ...] = Field(
        ("rate", "dropout"),
        min_length=1,
        description="What it may move: the purchase rate, the dropout, or both.",
    )
    bins: int | Literal["categories", "keep"] = Field(
        4,
        description=(
            "Into how many classes of equally many customers numbers are parted, 2 to 12; keep: numbers are taken as they are; "
            "categories: they are names. Texts are categories whatever is said here."
        ),
    )


class CovariatesSection(Section):
    """Which covariates are fitted, and what for."""

    use: Literal["ignore", "compare", "value"] = Field(
        "ignore",
        description=(
            "ignore: fit without; compare: fit the headline process with covariates as well, and try it in the back-tests; "
            "value: compute the value with that fit."
        ),
    )
    of: dict[str, CovariateSection] = Field(
        default_factory=dict,
        description=(
            "The covariates, by the names that `about` of a customers table gives, or by its fields region and segment; such "
            "as {age: {bins: 4}, plan: {on: [rate]}}. They must be known when a customer first buys."
        ),
    )
    prior_sd: float = Field(
        0.5,
        gt=0,
        le=5,
        description=(
            "Standard deviation of the normal prior of each effect, on the log scale: 0.5 takes rates half as high again, or "
            "two thirds, for usual. Smaller draws effects closer to none."
        ),
    )
