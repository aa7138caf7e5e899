"""Forecasts for single customers of the CDNOW sample that other programs print.

The 25 customers are those of pymc-marketing 0.19.2's tests/clv/models/test_beta_geo.py,
test_modified_beta_geo.py and test_pareto_nbd.py: rows of its data/clv_quickstart.csv, which lists the sample
by day of first purchase with weeks to two decimals.
"""

import numpy as np
import pytest

from clvkit import processes

ROWS = [158, 211, 221, 302, 430, 472, 872, 908, 1059, 1121, 1177, 1205, 1233,
        1576, 1631, 1683, 1725, 1785, 1841, 1845, 1881, 1974, 2004, 2183, 2287]  # fmt: skip
PARAMETERS = {
    "bgnbd": (0.243, 4.414, 0.793, 2.426),
    "mbgnbd": (0.525, 6.183, 0.891, 1.614),
    "paretonbd": (0.5534, 10.5802, 0.6061, 11.6562),
}
P_ALIVE = {
    "bgnbd": [
        0.6250537962, 1.0000000000, 1.0000000000, 0.7496377350, 1.0000000000, 1.0000000000, 0.1769806780,
        0.6128901180, 1.0000000000, 0.3322466724, 0.4600365598, 1.0000000000, 0.5174512732, 0.6822069548,
        1.0000000000, 0.2673906135, 1.0000000000, 0.3703048900, 0.5928875727, 1.0000000000, 0.5435828899,
        0.4939746181, 0.5318016552, 0.6789956898, 1.0000000000,
    ],
    "mbgnbd": [
        0.5973441682, 0.3933694311, 0.3937710166, 0.7409689014, 0.3970953337, 0.3975401001, 0.1481584647,
        0.5822820901, 0.4063378180, 0.2984846821, 0.4079836023, 0.4086712733, 0.5056432601, 0.6605184794,
        0.4154106423, 0.2263290123, 0.4174047964, 0.3469742090, 0.5562763959, 0.4189318868, 0.5006451044,
        0.4468654399, 0.5063758358, 0.6571694672, 0.4273760915,
    ],
    "paretonbd": [
        0.7210996262, 0.3027121713, 0.3035758648, 0.9910264880, 0.3107808163, 0.3117522490, 0.1581809593,
        0.7061510947, 0.3313272317, 0.3557956372, 0.4473659516, 0.3366331075, 0.6509382062, 0.8462454161,
        0.3522216261, 0.2428409452, 0.3569087384, 0.4458671373, 0.6717042155, 0.3605208260, 0.5859424385,
        0.5097332479, 0.6299101725, 0.8423634579, 0.3808460546,
    ],
}  # fmt: skip
CONDITIONAL = {  # expected purchases in the next 1, 3 and 6 weeks
    ("bgnbd", 1): [
        0.0476465347, 0.0057669701, 0.0057861952, 0.0223861234, 0.0059476471, 0.0059695640, 0.0056750437,
        0.0355596351, 0.0064189863, 0.0197887041, 0.0153165228, 0.0065434396, 0.1151890608, 0.0239991793,
        0.0069159061, 0.0095196234, 0.0070299518, 0.0347650851, 0.0215524159, 0.0071185067, 0.0198413504,
        0.0183375427, 0.0516462286, 0.0259819563, 0.0076279995,
    ],
    ("bgnbd", 3): [
        0.1411712190, 0.0171779764, 0.0172348398, 0.0664949969, 0.0177122741, 0.0177770711, 0.0168448806,
        0.1053578136, 0.0191050347, 0.0586119768, 0.0454449606, 0.0194725212, 0.3396835518, 0.0711634117,
        0.0205716947, 0.0282241375, 0.0209080573, 0.1027160046, 0.0638839298, 0.0211691757, 0.0588092881,
        0.0543411337, 0.1525145437, 0.0769660713, 0.0226704378,
    ],
    ("bgnbd", 6): [
        0.2772885955, 0.0340001652, 0.0341115832, 0.1310826125, 0.0350467846, 0.0351736706, 0.0331730302,
        0.2069455483, 0.0377720702, 0.1150745348, 0.0894457267, 0.0384904428, 0.6628049894, 0.1399455475,
        0.0406373861, 0.0554932137, 0.0412938591, 0.2009662112, 0.1255636219, 0.0418033113, 0.1155816452,
        0.1067702183, 0.2981872157, 0.1511464273, 0.0447294978,
    ],
    ("mbgnbd", 1): [
        0.0474757970, 0.0046993656, 0.0047191974, 0.0260172767, 0.0048861974, 0.0049089287, 0.0055689399,
        0.0363322065, 0.0053780830, 0.0190962254, 0.0158954435, 0.0055089656, 0.1109828988, 0.0271202333,
        0.0059029550, 0.0093991335, 0.0060242353, 0.0336459600, 0.0235634162, 0.0061186048, 0.0212897118,
        0.0193096809, 0.0507072854, 0.0292253485, 0.0066646757,
    ],
    ("mbgnbd", 3): [
        0.1404907485, 0.0139765494, 0.0140351506, 0.0771766966, 0.0145285087, 0.0145956469, 0.0165066433,
        0.1075033305, 0.0159805103, 0.0564844877, 0.0470946628, 0.0163665790, 0.3268418822, 0.0802984216,
        0.0175280298, 0.0278251555, 0.0178853415, 0.0992731582, 0.0697389276, 0.0181633007, 0.0630063546,
        0.0571342464, 0.1495337630, 0.0864391239, 0.0197705432,
    ],
    ("mbgnbd", 6): [
        0.2754541264, 0.0276021788, 0.0277168407, 0.1518417647, 0.0286818650, 0.0288131475, 0.0324404856,
        0.2107514261, 0.0315189041, 0.1106802158, 0.0924990532, 0.0322724633, 0.6365069694, 0.1575696938,
        0.0345375506, 0.0545901229, 0.0352338132, 0.1938440058, 0.1367710672, 0.0357752631, 0.1235583233,
        0.1120093375, 0.2917705300, 0.1693675931, 0.0389029472,
    ],
    ("paretonbd", 1): [
        0.0525770040, 0.0034579437, 0.0034778620, 0.0321557347, 0.0036464751, 0.0036695456, 0.0054586303,
        0.0401805356, 0.0041516730, 0.0207065632, 0.0159446674, 0.0042880789, 0.1289893923, 0.0316121376,
        0.0047032095, 0.0091640853, 0.0048322720, 0.0388951119, 0.0257994546, 0.0049330857, 0.0225836283,
        0.0199282473, 0.0565468716, 0.0337830200, 0.0055226115,
    ],
    ("paretonbd", 3): [
        0.1558691224, 0.0102506806, 0.0103093855, 0.0953090844, 0.0108062205, 0.0108741838, 0.0161674848,
        0.1190030230, 0.0122936304, 0.0613097382, 0.0472063997, 0.0126949392, 0.3818443945, 0.0935357967,
        0.0139155096, 0.0271116002, 0.0142947553, 0.1150536878, 0.0763087865, 0.0145909203, 0.0667940079,
        0.0589290055, 0.1672038085, 0.0998632909, 0.0163215552,
    ],
    ("paretonbd", 6): [
        0.3064301525, 0.0201503687, 0.0202648348, 0.1873192688, 0.0212332813, 0.0213657149, 0.0317431273,
        0.2336373870, 0.0241293876, 0.1203223548, 0.0926334536, 0.0249099756, 0.7491694606, 0.1833933405,
        0.0272821349, 0.0531472677, 0.0280186020, 0.2254981389, 0.1495408443, 0.0285935426, 0.1308865240,
        0.1154439865, 0.3275348731, 0.1955413091, 0.0319499584,
    ],
}  # fmt: skip
PURCHASES = {  # Pareto/NBD: P(one purchase in the next week), P(two in the next two weeks)
    1: [
        0.0479149184, 0.0033494899, 0.0033684743, 0.0304958870, 0.0035290742, 0.0035510335, 0.0051595737,
        0.0371413345, 0.0040091449, 0.0191062992, 0.0150434777, 0.0041384877, 0.1035413530, 0.0297426823,
        0.0045314207, 0.0086168242, 0.0046533713, 0.0348103800, 0.0242323804, 0.0047485617, 0.0212073027,
        0.0186970036, 0.0504467317, 0.0316440322, 0.0053040362,
    ],
    2: [
        0.0078206085, 0.0001991273, 0.0002007933, 0.0029522754, 0.0002150658, 0.0002170419, 0.0005280511,
        0.0051910913, 0.0002595795, 0.0027237194, 0.0015849055, 0.0002720308, 0.0351752640, 0.0032679818,
        0.0003110015, 0.0009553812, 0.0003234382, 0.0066245826, 0.0027292664, 0.0003332558, 0.0023959288,
        0.0021392092, 0.0098344560, 0.0037032182, 0.0003924190,
    ],
}  # fmt: skip
NEW_CUSTOMER = {  # expected repeat purchases in the first 1, 3 and 6 weeks
    "bgnbd": (0.05326789117165627, 0.15086523089304896, 0.2807558935767553),
    "mbgnbd": (0.053084795263698685, 0.15086328860664794, 0.28136022398301175),
    "paretonbd": (0.05100453400231695, 0.14612427222155053, 0.2750506374292604),
}


@pytest.fixture(scope="module")
def quickstart(cdnow_summary):
    """The sample as the quick-start file has it: by day of first purchase, weeks to two decimals."""
    listed = cdnow_summary.sort_values(["first_day", "customer"], ignore_index=True)
    weeks = (listed[["recency_days", "T_days"]] / 7).round(2)
    return weeks.assign(frequency=listed["frequency"], spend=listed["spend_minor"] / 100)


@pytest.fixture(scope="module")
def chosen(quickstart):
    """Frequency, recency and age of the 25 customers."""
    rows = quickstart.iloc[ROWS]
    return rows["frequency"].to_numpy(), rows["recency_days"].to_numpy(), rows["T_days"].to_numpy()


@pytest.mark.parametrize("name", P_ALIVE)
def test_p_alive(chosen, name):
    found = processes.get(name).p_alive(np.array(PARAMETERS[name]), *chosen)
    np.testing.assert_allclose(found, P_ALIVE[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "weeks"), CONDITIONAL)
def test_conditional_expectation(chosen, name, weeks):
    found = processes.get(name).conditional(np.array(PARAMETERS[name]), *chosen, float(weeks))
    np.testing.assert_allclose(found, CONDITIONAL[name, weeks], rtol=0, atol=1e-9)


@pytest.mark.parametrize("count", PURCHASES)
def test_probability_of_purchases(chosen, count):
    """A customer who is alive is a new one with the updated parameters r+x, α+T, s, β+T."""
    model, (r, alpha, s, beta) = processes.get("paretonbd"), PARAMETERS["paretonbd"]
    x, _, T = chosen
    alive = model.p_alive(np.array(PARAMETERS["paretonbd"]), *chosen)
    bought = [
        model.pmf((r + k, alpha + t, s, beta + t), count, float(count)) for k, t in zip(x, T, strict=True)
    ]
    np.testing.assert_allclose(alive * bought, PURCHASES[count], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", NEW_CUSTOMER)
def test_new_customer(name):
    found = processes.get(name).mean(np.array(PARAMETERS[name]), np.array([1.0, 3.0, 6.0]))
    np.testing.assert_allclose(found, NEW_CUSTOMER[name], rtol=1e-8)


def test_spend_of_the_first_ten_customers(quickstart, cdnow_fits):
    """Hardie's Gamma-Gamma sheet, by lifetimes' tests; customers without a repeat get the population mean.

    The sheet is made at the estimates, and not, as lifetimes' loose tolerance lets one think, at (6.25, 3.74,
    15.44). The digits are from a public notebook whose optimiser stopped a little earlier.
    """
    model, estimates = processes.get("gammagamma"), cdnow_fits["gammagamma"].mle
    base, slope = model.expected_spend(estimates, quickstart["frequency"][:10])
    spend = base + slope * quickstart["spend"][:10]
    sheet = (24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17)
    np.testing.assert_array_equal(spend.round(2), sheet)
    np.testing.assert_allclose(spend[:3], (24.653556, 18.909032, 35.170584), rtol=1e-4)


def test_mean_spend_of_the_population(cdnow_fits):
    base, _ = processes.get("gammagamma").expected_spend(cdnow_fits["gammagamma"].mle, np.array([0]))
    assert round(base[0], 4) == 35.1704
