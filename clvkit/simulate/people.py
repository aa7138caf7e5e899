"""Who the customers are, under which keys each system knows them, and when they buy."""

from dataclasses import dataclass, field

import numpy as np

from clvkit.processes._draw import expand
from clvkit.simulate.plan import CHANNELS, PARAMETERS, REGIONS, SPEND, YEAR, Plan

FIRST = "Anna Ben Clara David Emma Felix Greta Hugo Ida Jonas Karla Leo Mia Noah Olga Paul Rosa Simon Tina Uwe".split()
LAST = "Adler Bauer Conrad Dietz Ebert Fuchs Graf Hahn Jung Keller Lang Maier Neumann Otto Peters Roth Stein".split()
CODES = {"DE": "+49151", "AT": "+43660", "CH": "+4179", "GB": "+4477"}
SHARED_PHONES = 500  # one pair of people on a household's phone per so many customers


@dataclass
class Record:
    """A row of the CRM: the keys it shows (empty: none), and the day it was made (since the start)."""

    account: str = ""
    card: str = ""
    billing: str = ""
    email: str = ""
    phone: str = ""
    day: int = 0


@dataclass
class Person:
    """One customer as only the truth knows them."""

    number: int
    name: str
    region: str
    segment: str
    acquired_by: str
    gender: str
    birth_year: int
    postcode: str
    phone: str
    arrival: float  # days since the start
    rate: float  # purchases a year
    dropout_rate: float  # a year
    lifetime: float  # years from the first purchase to dropping out
    mean_spend: float  # expected net value of an order, home currency
    shop_share: float  # of this person's purchases
    records: list[Record] = field(default_factory=list)
    billing: str = ""
    emails: list[str] = field(default_factory=list)
    second_day: int | None = None  # from when the second shop account is in use

    def keys(self, kind: str) -> list[str]:
        """All values of ``account`` or ``card``, in the order they were given out."""
        return [value for one in self.records if (value := getattr(one, kind))]


def draw_people(plan: Plan) -> tuple[list[Person], np.ndarray, np.ndarray]:
    """All persons, and their purchases: who (index) and when (days since the start), two arrays (purchases,).

    Pareto/NBD as `processes` simulates it, on the same draws; rates and lifetimes are kept, as the truth.
    Everyone arrives within the window, so that no history is cut off at its left. With a season purchases run on the
    plan's clock; arrivals and lifetimes go by the calendar.
    """
    rng, n = plan.random("people"), plan.customers
    arrival = np.sort(rng.random(n)) * plan.days
    rate = rng.gamma(PARAMETERS["r"], 1 / PARAMETERS["alpha"], n)
    dropout = np.maximum(rng.gamma(PARAMETERS["s"], 1 / PARAMETERS["beta"], n), 1e-9)
    lifetime = rng.exponential(1.0, n) / dropout
    seen = np.minimum((plan.days - arrival) / YEAR, lifetime)
    if plan.clock is None:
        who, years, _ = expand(rng.poisson(rate * seen), seen, rng)
        when = np.concatenate([arrival, arrival[who] + years * YEAR])
    else:
        begun = plan.clock.reading(arrival)
        passed = (plan.clock.reading(np.minimum(arrival + seen * YEAR, plan.days)) - begun) / YEAR
        who, years, _ = expand(rng.poisson(rate * passed), passed, rng)
        when = np.concatenate([arrival, plan.clock.moment(begun[who] + years * YEAR)])
    who = np.concatenate([np.arange(n), who])
    mean_spend = SPEND["p"] / rng.gamma(SPEND["q"], 1 / SPEND["gamma"], n)
    region = rng.choice(list(REGIONS), n, p=list(REGIONS.values())).tolist()
    has_store = np.isin(region, ("DE", "AT"))
    share = np.where(has_store, rng.choice([1.0, 0.0, 0.5], n, p=[0.5, 0.22, 0.28]), 1.0)
    acquired = rng.choice(list(CHANNELS), n, p=list(CHANNELS.values()))
    acquired = np.where((acquired == "stores") & ~has_store, "search", acquired).tolist()
    first, last = rng.choice(FIRST, n), rng.choice(LAST, n)
    gender = rng.choice(["f", "m", "x"], n, p=[0.52, 0.46, 0.02]).tolist()
    business, born = rng.random(n) < 0.15, rng.integers(1940, 2005, n)
    place = rng.integers(1000, 9000, n)
    people = []
    for i in range(n):
        person = Person(
            number=i + 1,
            name=f"{first[i]} {last[i]}",
            region=region[i],
            segment="business" if business[i] else "private",
            acquired_by=acquired[i],
            gender=gender[i],
            birth_year=int(born[i]),
            postcode=_postcode(region[i], int(place[i])),
            phone=f"{CODES[region[i]]}{1000000 + i}",
            arrival=float(arrival[i]),
            rate=float(rate[i]),
            dropout_rate=float(dropout[i]),
            lifetime=float(lifetime[i]),
            mean_spend=float(mean_spend[i]),
            shop_share=float(share[i]),
        )
        _give_keys(person, plan, rng)
        people.append(person)
    _share_phones(people, plan, rng)
    return people, who, when


def _postcode(region: str, place: int) -> str:
    """Five digits in Germany, four in Austria and Switzerland, letters in Britain."""
    if region == "GB":
        return f"N{place % 22 + 1} {place % 9 + 1}AB"
    return str(place + 10000) if region == "DE" else str(place)


def _give_keys(person: Person, plan: Plan, rng) -> None:
    """Accounts, card, billing number: in one record, or in several that share an email or a phone."""
    first, last = person.name.lower().split()
    email, day = f"{first}.{last}{person.number}@mail.example", int(person.arrival)
    phone = person.phone if rng.random() < 0.85 else ""
    person.emails.append(email)
    main = Record(email=email, phone=phone, day=day)
    person.records.append(main)
    if person.shop_share:
        main.account = f"A{100000 + 7 * person.number}"
    if person.shop_share < 1:
        card = f"29{10000000 + 13 * person.number}"
        if not main.account or rng.random() < 0.6:
            main.card = card
        elif rng.random() < 0.5:  # enrolled at the counter by email
            person.records.append(Record(card=card, email=email, day=day))
        else:  # … or by phone
            main.phone = person.phone
            person.records.append(Record(card=card, phone=person.phone, day=day))
    if main.account and rng.random() < 0.06:
        main.phone, person.second_day = person.phone, int(rng.integers(day, plan.days))
        other = f"{last}{person.number}@post.example"
        person.emails.append(other)
        number = f"A{500000 + 7 * person.number}"
        person.records.append(Record(account=number, email=other, phone=person.phone, day=person.second_day))
    if rng.random() < 0.2:
        person.billing = f"B{20000 + 3 * person.number}"
        if rng.random() < 0.5:
            main.billing = person.billing


def _share_phones(people: list[Person], plan: Plan, rng) -> None:
    """A few pairs of people on one household's phone: what a phone alone would take for one person."""
    single = [p for p in people if len(p.records) == 1 and p.records[0].phone and not p.billing]
    chosen = rng.permutation(len(single))[: 2 * max(2, plan.customers // SHARED_PHONES)]
    for one, other in zip(chosen[::2], chosen[1::2], strict=True):
        single[other].phone = single[other].records[0].phone = single[one].phone
