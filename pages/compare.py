"""Compare: what each defence certifies on the same poisoned data, against whom, and at what price."""

import streamlit as st

from certssb_core.comparisons import defences, suites
from certssb_core.figures import curves, theme
from certssb_core.figures.defences import budgets
from certssb_core.results.attack_verdict import attack_caveats
from ui.compare import backdoor_smoothing, budget_maps, clean_label, flips_beta, measurement_panel
from ui.kit import charts, controls, run_files, text

FORMULAS = r"""
- **RAB, Cert-SSBD**: $\|\delta\|^2/\sigma_x^2 + \sum_i \|\delta_i\|^2/\sigma_i^2 <$ margin².
- **Diffusion denoising, RAB's nearest neighbour**: the same with $1/\sigma_x = 0$: the test input does not move. The
  step $t^*$ of the denoiser has $\sqrt{(1-\bar\alpha_{t^*})/\bar\alpha_{t^*}} = 2\sigma$, pixels scaled to $[-1, 1]$.
- **A share of the images, drawn by seed**: of n moved images a member sees J, which is hypergeometric. Neyman and
  Pearson over J and the noise bound their effect.
- **Subset**: with probability $w_0$ a member sees none of n replaced images, and certified is
  $\underline{p_A} - (1 - w_0) > \overline{p_B} + (1 - w_0)$.
- **Feature flips**: k features and labels are certified while the worst
  $\sum_t$ of $\binom{k}{t}\beta^t(1-\beta)^{k-t}$ that $\underline{p_A}$ leaves to the leading class exceeds the
  most that $\overline{p_B}$ allows another.
- **DPA**: $\lfloor (n_A - n_B - [B < A]) / 2 \rfloor$ images inserted or removed; a tie goes to the lower class.
- **Partitions with margins**: DPA's count, where every vote whose margin is below τ goes to the other class. A replaced
  image is two changes.
- **Run-off election**: A falls if two classes pass it in round one, or if one other class reaches round two and wins.
  Certified is one change less than the cheaper way takes.
- **Backdoor smoothing**: over N draws $x + s z$, with class shares $\hat p$: entropy $H(\hat p)$, $1 - \max \hat p$,
  and the mean of $\lvert \mathrm{softmax}(x + s z) - \mathrm{softmax}(x) \rvert_1$.
"""
TOPICS = {
    "defences": "Defences on one attack",
    "flips": "Feature flips",
    "clean-label": "Clean-label attacks",
    "smoothing": "Backdoor smoothing",
}
OWN_CONTROLS = {"beta": "flips", "attacked": "clean-label", "measured": "smoothing"}
COLUMNS = {
    "system": "system",
    "accuracy": st.column_config.NumberColumn("clean accuracy", format="percent"),
    "attack success": st.column_config.NumberColumn("attack success", format="percent"),
    "median": st.column_config.TextColumn("median certified", help="Over clean test images, in the row's own unit."),
    "models": st.column_config.NumberColumn("models", format="localized"),
    "seconds": st.column_config.NumberColumn("seconds", format="%.0f"),
    "certifies": st.column_config.TextColumn("what its certificate counts", width=520),
}


def overview(result: dict) -> None:
    attack, table = result["attack"], defences.table(result)
    st.markdown(
        f"**{result['title']}**, {attack['trigger']} trigger of norm {attack['norm']:g}, {attack['rate']:.0%} of the "
        f"training images poisoned ({result['poisoned']:,}). Without a defence the attack succeeds on "
        f"**{result['undefended']['attack_success_rate']:.1%}**."
    )
    for caveat in attack_caveats(result["undefended"]):
        st.warning(caveat, icon=":material/warning:")
    st.dataframe(table, hide_index=True, column_config=COLUMNS, column_order=list(COLUMNS), placeholder="–")
    st.caption(
        "Medians of different rows count different things and cannot be ranked. Seconds are of the whole run but the "
        "undefended model, on the machine that made the comparison."
    )


def own_budgets(result: dict, colours: dict[str, str]) -> None:
    st.subheader("Each in its own budget", anchor=False)
    table = defences.frame(result, "curves")
    count = table["budget"].nunique()
    charts.show(
        budgets(table, colours=colours),
        key="field-budgets",
        summary=f"Share of test images that are right and certified while the change stays within the budget, clean "
        f"(solid) and triggered (dotted). There are **{count} budgets**: a number on one axis says nothing about "
        "another.",
        table=table,
    )


@st.fragment  # its controls leave the rest of the page alone
def common_budget(result: dict, colours: dict[str, str]) -> None:
    st.subheader("Where they can be compared: n training images, each moved by at most τ", anchor=False)
    table = defences.frame(result, "common")
    left, right = st.columns(2)
    with left:
        who = controls.choose(
            "And",
            {defences.TRAINING: "the " + defences.TRAINING, defences.BOTH: "the " + defences.BOTH},
            defences.TRAINING,
            key="and",
        )
    with right:
        norms = {f"{norm:g}": f"τ = {norm:g}" for norm in sorted(table["norm"].unique())}
        norm = controls.choose("Norm of every change (L2 pixel units)", norms, "0.1", key="tau")
    shown = table[(table["test_input"] == who) & (table["norm"] == float(norm))]
    images = controls.slider("Training images moved, n", int(shown["images"].max()), result["poisoned"], 1, key="n")
    standing = shown[shown["images"] <= images].groupby("series", sort=False).last()
    words = ". ".join(f"{name}: **{row['count']:,} of {row['n']:,}**" for name, row in standing.iterrows())
    charts.show(
        curves.budget(shown, colours=colours, images=images),
        key="field-common",
        summary=f"n = {images:,} training images moved by at most {norm} each, labels kept, {who}. The right answer "
        f"stays certified for so many clean test images. {words}.",
        table=shown,
    )
    st.caption(
        "DPA covers any change of an image but none of the test input, and a moved image costs it two of its count. "
        "Feature flips are left out: they are about other, binary images."
    )


def explanations(name: str, result: dict) -> None:
    st.subheader("The systems", anchor=False)
    for key, row in result["systems"].items():
        system = suites.SYSTEMS[key]
        with st.expander(f"{system.title}: {row['setting']}", icon=":material/shield:"):
            st.markdown(f"{system.about} [arXiv {system.source}](https://arxiv.org/abs/{system.source})")
            st.markdown(f"Its certificate counts the {row['budget']}.")
            st.markdown(f"**Condition.** {suites.SUITES[name].condition(key)}")
    for key, reason in suites.SUITES[name].left_out.items():
        st.caption(f"**{suites.SYSTEMS[key].title}** is left out. {reason}")


def compare_defences() -> None:
    """Every defence on one attack, where that has been measured."""
    found = defences.results(run_files.runs_dir())
    if found:
        names = {suite: found[suite]["title"] for suite in found}
        name = controls.choose_key("Data", names, next(iter(found)), key="suite")
        result = found[name]
        titles = [suites.SYSTEMS[system].title for system in suites.SYSTEMS]
        colours = {title: theme.class_colour(place) for place, title in enumerate(titles)}
        overview(result)
        own_budgets(result, colours)
        common_budget(result, colours)
        budget_maps.section(result)
        explanations(name, result)
    else:
        text.empty("No comparison has been made yet. Start one below, or `python -m certssb_core compare digits`.")
    measurement_panel.section("compare", found=bool(found))


def asked_topic() -> str:
    """The topic of a link that names a control of one: links from before there were topics name nothing else."""
    return next((topic for key, topic in OWN_CONTROLS.items() if key in st.query_params), "defences")


text.page_header(
    "compare",
    FORMULAS,
    ["2504.21730", "2003.08904", "2002.11750", "1906.04948", "2006.14768", "2008.04495", "2403.11981", "2006.06721"],
)
topic = controls.choose("Topic", TOPICS, asked_topic(), key="topic")
if topic == "defences":
    compare_defences()
elif topic == "flips":
    flips_beta.section()
elif topic == "clean-label":
    clean_label.section()
else:
    backdoor_smoothing.section()
