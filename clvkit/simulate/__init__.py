"""A seeded omnichannel company with known truth, for tests and teaching.

`write_company` writes what its systems would export (two tills, a shop, billing, CRM, ERP, support, marketing),
each with its own habits, the truth beside it, and any of the defects of `DEFECTS`, counted.
"""

from clvkit.simulate.company import Truth, write_company
from clvkit.simulate.defects import DEFECTS

__all__ = ["DEFECTS", "Truth", "write_company"]
