"""Compiled code belongs to exactly the sources it was compiled from."""

from pathlib import Path

from clvkit.processes._pack import _compiled_home


def test_a_change_in_any_kernel_makes_another_home(tmp_path):
    (tmp_path / "_one.py").write_text("a = 1\n")
    (tmp_path / "_two.py").write_text("b = 1\n")
    homes = []
    for value in range(6):
        (tmp_path / "_two.py").write_text(f"b = {value}\n")
        homes.append(_compiled_home(tmp_path))
        (tmp_path / "__pycache__").mkdir(exist_ok=True)
        Path(homes[-1]).mkdir()
    assert len(set(homes)) == 6
    assert _compiled_home(tmp_path) == homes[-1]
    left = {str(one) for one in (tmp_path / "__pycache__").iterdir()}
    assert homes[-1] in left and len(left) == 4  # this one, and the three before it
