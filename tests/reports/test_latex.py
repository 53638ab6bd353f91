import re

from hypothesis import given
from hypothesis import strategies as st

from mien.reports.latex import escape_latex, latex_table

HOSTILE = '\\input{/etc/passwd} 50% & $x$ _#^~[*] --run \n `"<>|'


def commands_of(text):
    return set(re.findall(r"\\([a-zA-Z]+)", text))


@given(st.text())
def test_no_text_is_a_command_a_row_or_a_comment(text):
    escaped = escape_latex(text)
    assert commands_of(escaped) <= {
        "textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar",
        "char", "pm", "uparrow", "downarrow",
    }  # fmt: skip
    assert "\n" not in escaped
    assert "\\\\" not in escaped
    assert not re.search(r"(?<!\\)[%&#_]", escaped)
    braces = re.sub(r"\\[{}]", "", escaped)
    assert braces.count("{") == braces.count("}")


def test_a_hostile_name_is_printed_as_it_is():
    escaped = escape_latex(HOSTILE)
    assert escaped.startswith(r"\textbackslash{}input\{/etc/passwd\} 50\% \& \$x\$ \_\#")
    assert "{[}{*}{]} -{}-run" in escaped


def test_neighbours_with_one_name_get_a_heading_in_common():
    lines = latex_table(
        ["Run", "MAE ↓", "Acc-2 (has0) ↑", "Acc-2 (non0) ↑"],
        [["a", "1", "2", "3"]],
        caption="100 %",
        label="tab:x",
    ).splitlines()
    assert r"\caption{100 \%}" in lines
    assert r"\begin{tabular}{lccc}" in lines
    assert r"Run & MAE $\downarrow$ & \multicolumn{2}{c}{Acc-2 $\uparrow$} \\" in lines
    assert r"\cmidrule(lr){3-4}" in lines
    assert r" &  & has0 & non0 \\" in lines
    assert r"a & 1 & 2 & 3 \\" in lines


def test_a_heading_without_readings_takes_one_line():
    text = latex_table(["Run", "MAE ↓"], [["a", "1"]], caption="c", label="tab:x")
    assert "cmidrule" not in text
    assert "Run & MAE $\\downarrow$ \\\\\n\\midrule" in text
