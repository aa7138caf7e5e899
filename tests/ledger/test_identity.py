"""Identity resolution: who is one customer, and that customers keep their names."""

from datetime import date

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clvkit.errors import DataError
from clvkit.ledger.engine import connect
from clvkit.ledger.identity import IdentitySection, assign, merge_effect, resolve

KEYS = IdentitySection(keys=("loyalty", "email", "phone"))
FIRST, SECOND, THIRD = date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31)
LINKS = ["source", "account", "kind", "value"]


def frames(links, *alone):
    """Accounts and links of ``"shop:a email=x phone=1"`` lines."""
    rows, accounts = [], []
    for line in (*links, *alone):
        account, *keys = line.split()
        accounts.append(account.split(":"))
        rows += [[*account.split(":"), *key.split("=")] for key in keys]
    return pd.DataFrame(accounts, columns=LINKS[:2]), pd.DataFrame(rows, columns=LINKS, dtype=object)


def customers(crosswalk):
    return {(m["source"], m["account"]): m["customer"] for m in crosswalk.members.to_pylist()}


def groups(crosswalk):
    """Sorted accounts of the customers who have several."""
    each = {}
    for (_, account), customer in customers(crosswalk).items():
        each.setdefault(customer, []).append(account)
    return sorted(sorted(group) for group in each.values() if len(group) > 1)


def run(*lines, section=KEYS, previous=None, as_of=FIRST, **more):
    return resolve(*frames(lines), section, previous, as_of=as_of, **more)


def people(seed, persons=2500):
    """Accounts of people in three systems, with the person of each; keys missing, mistyped and shared."""
    rng = np.random.default_rng(seed)
    links, truth, household = [], {}, {}
    for person in range(persons):
        email, loyalty = f"p{person}@mail{person % 7}.test", f"L{person:06d}"
        phone = f"49170{person:07d}"
        if person % 200 == 1:  # lives with the one before, and gives the same number
            phone = household[person - 1]
        household[person] = phone
        for number in range(1 + rng.binomial(4, 0.3)):
            source = ("shop", "till", "billing")[rng.integers(3)]
            account = f"{rng.integers(10**12)}"
            truth[source, account] = person
            for kind, value, share in (
                ("email", email, 0.95),
                ("phone", phone, 0.85),
                ("loyalty", loyalty, 0.5),
            ):
                if rng.random() > share:
                    continue
                if kind != "loyalty" and rng.random() < 0.02:
                    at = rng.integers(1, len(value) - 1)
                    value = f"{value[:at]}{rng.integers(10)}{value[at + 1 :]}"
                written = value.upper() + " " if kind == "email" and number % 2 else value
                links.append((source, account, kind, written))
    accounts = pd.DataFrame(list(truth), columns=LINKS[:2])
    return accounts, pd.DataFrame(links, columns=LINKS), truth


def pairs(labels):
    """Number of pairs within the same label."""
    counts = pd.Series(labels).value_counts()
    return int((counts * (counts - 1) // 2).sum())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_people_are_found_with_few_mistakes(seed):
    accounts, links, truth = people(seed)
    found = customers(resolve(accounts, links, KEYS, as_of=FIRST))
    both = pairs([(found[a], truth[a]) for a in truth])
    precision, recall = both / pairs(list(found.values())), both / pairs(list(truth.values()))
    print(f"precision {precision:.4f}, recall {recall:.4f}")
    assert precision >= 0.99
    assert recall >= 0.95


def test_rows_in_another_order_make_the_same_customers():
    accounts, links, _ = people(4, persons=300)
    one = resolve(accounts, links, KEYS, as_of=FIRST)
    mixed = resolve(
        accounts.sample(frac=1, random_state=1), links.sample(frac=1, random_state=2), KEYS, as_of=FIRST
    )
    assert groups(one) == groups(mixed)
    later = resolve(accounts[::-1], links[::-1], KEYS, one, as_of=SECOND)
    assert later.members.equals(one.members)
    assert later.events.empty
    pd.testing.assert_frame_equal(
        later.review.drop(columns="customer"), mixed.review.drop(columns="customer")
    )


line = st.builds(
    lambda account, email, phone: " ".join(
        [
            f"shop:{account}",
            *([f"email=e{email}@x.de"] if email else []),
            *([f"phone=49170000{phone}"] if phone else []),
        ]
    ),
    st.integers(0, 14),
    st.integers(0, 5),
    st.integers(0, 9),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(line, max_size=14), st.lists(line, max_size=14))
def test_new_records_never_rename_an_unchanged_customer(old, new):
    section = IdentitySection(keys=("email", "phone"), max_cluster=5)
    before = run(*old, section=section)
    after = run(*old, *new, section=section, previous=before, as_of=SECOND)
    was, now = customers(before), customers(after)
    merged = {(e["from"], e["into"]) for e in after.events.to_dict("records") if e["event"] == "merge"}
    split = set(after.events.loc[after.events["event"] == "split", "from"])
    for customer in set(was.values()):
        mine = [account for account in was if was[account] == customer]
        here = {now[account] for account in mine}
        assert len(here) == 1 or customer in split
        assert here == {customer} or customer in split or (customer, *here) in merged
        if here != {customer} and len(here) == 1:
            assert any(now[other] in here and was[other] != customer for other in was)
    again = run(*old, *new, section=section, previous=after, as_of=THIRD)
    assert again.members.equals(after.members)
    assert len(again.events) == len(after.events)


def test_a_shared_address_does_not_merge_fifty_people():
    lines = [f"shop:a{i} email=info@acme.test" for i in range(50)]
    found = run(*lines, "shop:b1 email=b@x.de", "shop:b2 email=b@x.de")
    assert groups(found) == [["b1", "b2"]]
    note = found.review.iloc[0]
    assert (note["reason"], note["value"], note["accounts"], note["links"]) == (
        "shared",
        "i***@a***",
        50,
        False,
    )


def test_ignored_values_link_nobody_in_any_writing():
    section = IdentitySection(keys=("email", "phone"), ignore=(" Info@Acme.test", "+49 170 1234567"))
    lines = ["shop:a email=INFO@acme.test", "shop:b email=info@acme.test", "shop:c phone=0049-170-1234567"]
    found = run(
        *lines,
        "shop:d phone=491701234567",
        "shop:e phone=491701234568",
        "shop:f phone=0049/170/1234568",
        section=section,
    )
    assert groups(found) == [["e", "f"]]


@pytest.mark.parametrize("value", ["n/a", "-", "none", "@"])
def test_words_that_are_no_email_link_nobody(value):
    assert groups(run(f"shop:a email={value}", f"shop:b email={value}")) == []


@pytest.mark.parametrize("value", ["12345", "0000000000", "999999999", "none"])
def test_words_that_are_no_phone_link_nobody(value):
    assert groups(run(f"shop:a phone={value}", f"shop:b phone={value}")) == []


def test_kinds_that_the_study_does_not_name_link_nobody():
    assert groups(run("shop:a device=d1", "shop:b device=d1")) == []
    assert groups(run("shop:a email=a@x", "shop:b email=a@x", section=IdentitySection())) == []


def test_a_value_links_within_its_kind_only():
    assert groups(run("shop:a loyalty=491701234567", "shop:b phone=491701234567")) == []


def test_a_merge_keeps_the_customer_known_longer_and_says_so():
    one = run("shop:b loyalty=1")
    two = run("shop:b loyalty=1", "shop:a1 email=a@x", "shop:a2 email=a@x", previous=one, as_of=SECOND)
    lines = ["shop:a1 email=a@x", "shop:a2 email=a@x phone=4917012345", "shop:b loyalty=1 phone=4917012345"]
    three = run(*lines, previous=two, as_of=THIRD)
    old = customers(two)
    assert set(customers(three).values()) == {old["shop", "b"]}
    assert three.events.to_dict("records") == [
        {
            "event": "merge",
            "from": old["shop", "a1"],
            "into": old["shop", "b"],
            "as_of": "2024-03-31",
            "key": "phone",
        }
    ]


@pytest.mark.parametrize("backwards", [False, True])
def test_of_customers_known_equally_long_the_larger_survives(backwards):
    lines = ["shop:z1 email=z@x", "shop:z2 email=z@x", "shop:a email=a@x"][:: -1 if backwards else 1]
    one = run(*lines)
    two = run(*lines, "shop:n email=z@x", "shop:n email=a@x", previous=one, as_of=SECOND)
    assert set(customers(two).values()) == {customers(one)["shop", "z1"]}
    assert list(two.events["key"]) == ["email"]


def test_a_split_leaves_the_id_with_the_largest_part():
    lines = [
        "shop:a1 email=a@x phone=4917012345",
        "shop:b1 email=b@x",
        "shop:b2 email=b@x",
        "shop:b1 phone=4917012345",
    ]
    one = run(*lines)
    assert len(groups(one)) == 1
    two = run(*lines, section=KEYS.model_copy(update={"ignore": ("4917012345",)}), previous=one, as_of=SECOND)
    old, new = customers(one), customers(two)
    assert new["shop", "b1"] == new["shop", "b2"] == old["shop", "b1"]
    assert new["shop", "a1"] not in old.values()
    assert two.events.to_dict("records") == [
        {
            "event": "split",
            "from": old["shop", "b1"],
            "into": new["shop", "a1"],
            "as_of": "2024-02-29",
            "key": "",
        }
    ]


def test_an_account_that_is_away_keeps_its_customer_and_follows_a_merge():
    one = run("shop:a email=a@x", "shop:gone email=a@x", "shop:other email=o@x")
    two = run("shop:other email=o@x", previous=one, as_of=SECOND)
    assert customers(two) == customers(one)
    assert two.events.empty
    lines = ["shop:a email=a@x", "shop:other email=o@x", "shop:other email=a@x"]
    three = run(*lines, previous=two, as_of=THIRD)
    assert len(set(customers(three).values())) == 1


BRIDGE = [
    "a:1 email=p@x",
    "a:2 email=p@x phone=4917012345",
    "b:3 email=q@x phone=4917012345",
    "b:4 email=q@x",
]


def test_a_bridge_waits_for_a_review():
    found = run(*BRIDGE)
    assert groups(found) == [["1", "2"], ["3", "4"]]
    assert found.review[["reason", "kind", "value", "accounts", "links"]].values.tolist() == [
        ["bridge", "phone", "***45", 2, False]
    ]
    assert set(customers(run(*BRIDGE, previous=found, as_of=SECOND)).values()) == set(
        customers(found).values()
    )


def test_accounts_that_buy_nothing_make_no_group_and_follow_the_customers():
    """A shop account with a billing account beside it is not a group that a till's card may not be joined to."""
    lines = (
        "shop:a email=x@y.z record=1",
        "billing:b record=1",
        "till:c email=x@y.z record=2",
        "legacy:c record=2",
    )
    keys = KEYS.model_copy(update={"keys": ("record", "email")})
    assert groups(run(*lines, section=keys)) == [["a", "b"], ["c", "c"]]
    accounts, links = frames(lines)
    found = resolve(accounts, links, keys, as_of=FIRST, followers={"billing"})
    assert len(set(customers(found).values())) == 1


def test_a_bridge_links_where_the_study_says_so_and_is_still_shown():
    found = run(*BRIDGE, section=KEYS.model_copy(update={"bridges": "link"}))
    assert groups(found) == [["1", "2", "3", "4"]]
    assert list(found.review["links"]) == [True]


def test_what_was_one_customer_is_not_taken_apart_by_a_bridge_that_grew():
    one = run(*BRIDGE[1:3])
    two = run(*BRIDGE, previous=one, as_of=SECOND)
    assert set(customers(two).values()) == set(customers(one).values())
    assert two.events.empty
    assert list(two.review["links"]) == [True]


def test_two_values_between_two_groups_are_no_bridge():
    found = run(*BRIDGE, "a:1 loyalty=77", "b:4 loyalty=77")
    assert groups(found) == [["1", "2", "3", "4"]]
    assert found.review.empty


def test_a_cluster_that_is_too_large_loses_its_weakest_keys():
    chain = [f"shop:c{i:02d} phone=49170000{i:02d} phone=49170000{i + 1:02d}" for i in range(12)]
    pair = ["shop:c03 email=c@x", "shop:c04 email=c@x"]
    found = run(*chain, *pair, section=KEYS.model_copy(update={"bridges": "link"}))
    assert groups(found) == [["c03", "c04"]]
    assert set(found.review["reason"]) == {"oversize"}
    assert not found.review["links"].any()
    ten = run(*chain[:10], section=KEYS.model_copy(update={"bridges": "link"}))
    assert [len(group) for group in groups(ten)] == [10]


def test_nothing_in_review_and_events_shows_a_value_in_clear():
    lines = [f"shop:{i} email=someone@example.org phone=4917098765 loyalty=GOLD-12345" for i in range(6)]
    found = run(*lines)
    assert len(found.review) == 3
    shown = found.review.to_csv() + found.events.to_csv()
    for secret in ("someone", "example", "4917098765", "98765", "gold-1", "GOLD"):
        assert secret not in shown


def test_pseudonyms_are_random_and_not_made_of_the_account():
    one, two = (set(customers(run("shop:alpha email=a@x", "shop:beta")).values()) for _ in range(2))
    assert not one & two
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in one | two)


def test_an_outside_crosswalk_wins_over_keys(tmp_path):
    text = "source,account,customer\nshop,a,007\nshop,b,007\nshop,c,8\nshop,unknown,9\n"
    (tmp_path / "outside.csv").write_text(text)
    section = KEYS.model_copy(update={"crosswalk": "outside.csv"})
    lines = ["shop:a", "shop:b email=q@x", "shop:c email=q@x loyalty=5", "shop:d loyalty=5"]
    found = run(*lines, section=section, base=tmp_path)
    assert groups(found) == [["a", "b"], ["c", "d"]]
    assert list(found.review["reason"]) == ["conflict"]
    assert ("shop", "unknown") not in customers(found)
    # An account in between does not bring together what the outside holds apart.
    lines = ["shop:a loyalty=1", "shop:x loyalty=1 phone=4917012345", "shop:c phone=4917012345"]
    assert groups(run(*lines, "shop:b", section=section, base=tmp_path)) == [["a", "b", "x"]]


def test_a_merge_by_the_outside_crosswalk_says_so(tmp_path):
    (tmp_path / "outside.csv").write_text("source,account,customer\nshop,a,1\nshop,b,1\n")
    one = run("shop:a", "shop:b")
    section = KEYS.model_copy(update={"crosswalk": "outside.csv"})
    two = run("shop:a", "shop:b", section=section, base=tmp_path, previous=one, as_of=SECOND)
    assert list(two.events["key"]) == ["crosswalk"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source,account,customer\nshop,a,1\nshop,a,2\n", "two customers"),
        ("source,account\nshop,a\n", "customer is not there"),
        (None, "which is not there"),
    ],
)
def test_an_outside_crosswalk_that_cannot_be_used_is_an_error(tmp_path, text, words):
    if text:
        (tmp_path / "outside.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        run("shop:a", section=KEYS.model_copy(update={"crosswalk": "outside.csv"}), base=tmp_path)


def test_tables_of_any_kind_and_numbers_as_accounts():
    accounts = pd.DataFrame({"source": "shop", "account": [1, 2, 2]})
    links = pd.DataFrame({"source": "shop", "account": [1, 2], "kind": "email", "value": "a@x"})
    found = resolve(ibis.memtable(accounts), ibis.memtable(links), KEYS, as_of=FIRST)
    assert groups(found) == [["1", "2"]]
    empty = resolve(accounts[:0].astype(str), None, KEYS, as_of=FIRST)
    assert len(empty.members) == 0
    with pytest.raises(DataError, match="texts or whole numbers"):
        resolve(accounts.astype({"account": float}), links, KEYS, as_of=FIRST)


def test_assign_keeps_known_accounts_and_gives_new_ones_a_customer_of_their_own():
    con = connect()
    rows = pd.DataFrame({"source": "shop", "account": ["a", "b", None, "b"]})
    first = assign(con, con.create_table("one", rows), as_of=FIRST)
    rows = pd.DataFrame({"source": ["shop", "shop", "till"], "account": ["b", "c", "b"]})
    second = assign(con, con.create_table("two", rows), first, as_of=SECOND)
    old, new = (t.to_pyarrow().to_pylist() for t in (first, second))
    assert {m["account"] for m in old} == {"a", "b"}
    assert sorted((m for m in new if m["since"] == FIRST), key=str) == sorted(old, key=str)
    assert {(m["source"], m["account"]) for m in new} == {
        ("shop", "a"),
        ("shop", "b"),
        ("shop", "c"),
        ("till", "b"),
    }
    assert len({m["customer"] for m in new}) == 4
    assert all(len(m["customer"]) == 32 and int(m["customer"], 16) >= 0 for m in new)
    assert {m["customer"] for m in second.to_pyarrow().to_pylist()} == {m["customer"] for m in new}


def test_the_effect_of_merging():
    before = pd.DataFrame({"frequency": [0, 1], "n": [3, 1]})
    after = pd.DataFrame({"frequency": [0, 2], "n": [1, 1]})
    assert merge_effect(before, after).values.tolist() == [["before", 4, 0.25, 1.25], ["after", 2, 0.5, 2.0]]
    assert merge_effect(before[:0], after)["repeat_share"].isna().tolist() == [True, False]


@pytest.mark.parametrize("keys", [("email", "email"), ("email", " ")])
def test_keys_are_named_once(keys):
    with pytest.raises(ValueError, match="must name each kind of key once"):
        IdentitySection(keys=keys)
