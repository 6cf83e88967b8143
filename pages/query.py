"""Query: what the members and the store say about one image, as it is changed."""

import streamlit as st

from certssb_core.figures.images import picture, png
from certssb_core.plain_text import markdown_text
from certssb_core.query import edit_image as core
from certssb_core.query.reply import Reply
from certssb_core.runs.run import Run
from ui.kit import charts, run_files, tables, text, view_as_code
from ui.query import answers, image_source, stage

FORMULAS = r"""
The store is asked first: a point inside a stored ball gets that ball's answer, certified to the ball's edge. Elsewhere
the M members vote on $x + \sigma_x u_m$, one fixed draw $u_m$ per member, at the image's own $\sigma^*_x$, and their
radius ends where a stored ball of another label begins. With
$\underline{p_A}$ and $\overline{p_B}$ from the votes,

$$\text{margin} = \tfrac12(\Phi^{-1}(\underline{p_A}) - \Phi^{-1}(\overline{p_B})), \qquad
\text{radius} = \sigma_x \cdot \text{margin}.$$
"""
NEAREST = 6
COLUMNS = {
    "picture": st.column_config.ImageColumn("picture", width="small"),
    "input": "stored ball",
    "answer": "its answer",
    "distance": st.column_config.NumberColumn("distance", format="%.3f", help="L2, from its centre"),
    "radius": st.column_config.NumberColumn("radius", format="%.3f"),
    "edge": st.column_config.NumberColumn("to its edge", format="%.3f", help="Negative: the image lies inside."),
}


def promise(reply: Reply) -> None:
    """The promise of the radius, its condition, and the numbers behind it."""
    noise = f"at σ\\* {reply.sigma:.3f}" if reply.sigma else "without noise"
    with st.expander("What this promises", icon=":material/gavel:"):
        st.markdown(
            f"**Radius.** {reply.promise}\n\n**Condition.** {reply.condition}\n\n"
            f"**Members.** Radius {reply.members_radius:.3f}, margin {max(reply.margin, 0):.3f}, votes cast {noise}; "
            f"p_A at least {reply.p_a_lower:.3f}, p_B at most {reply.p_b_upper:.3f}."
        )


def fixed_ensemble(run: Run, asked: image_source.Question) -> None:
    """The fixed ensemble's answer to the same image, drawn for this question."""
    if drawn := answers.ask(run, asked.asked, fixed=True).fixed:
        st.markdown(
            f"**Fixed ensemble**: {markdown_text(drawn['answer'])}, radius **{drawn['radius']:.3f}**, p_A at least "
            f"{drawn['p_a_lower']:.3f}. {drawn['draws']:,} fresh draws of {drawn['jury']} of these very members answer "
            "here. It is another classifier than the members' vote above, which is about members trained afresh and "
            "has a joint budget.",
            help=f"{drawn['promise']} {drawn['condition']}",
        )


def store(run: Run, asked: image_source.Question) -> None:
    st.subheader("The nearest balls of the store", anchor=False)
    balls = run_files.asked_balls(run)
    table = core.nearest_balls(balls, asked.asked, tables.class_names(run), count=NEAREST)
    if table.empty:
        text.no_balls(run)
        return
    deepest = table.iloc[0] if table["edge"].iloc[0] < 0 else None
    if deepest is None:
        st.markdown("The image lies in no stored ball, so the members answer.")
    else:
        st.markdown(
            f"The image lies in the ball of **{deepest['input']}**, which answers "
            f"**{markdown_text(deepest['answer'])}**, for ever."
        )
    table["picture"] = [picture(balls.centres[row].reshape(asked.asked.shape), side=64) for row in table["row"]]
    st.dataframe(table, hide_index=True, column_order=COLUMNS, column_config=COLUMNS, row_height=56)


text.page_header(
    "query",
    FORMULAS,
    ["2504.21730", "1902.02918"],
)
first, second = st.columns([2, 5])
left, members_say = st.columns([2, 6], gap="medium")
picked, about = left.container(), left.container()
with first:
    run = run_files.pick_run(moved_input=True, title=about)
with second:
    chosen = image_source.choose(run, run_files.inputs(run)) if run else None
if run and chosen:
    with picked:
        asked = image_source.change(run, chosen, members_say)
    if run.config.kind.balls:
        store(run, asked)  # at once; the members may still have to be loaded
    with members_say:
        if reason := answers.unable(run):
            text.empty(f"{markdown_text(reason)}." + " The store still answers." * run.config.kind.balls)
        else:
            reply = stage.panel(run, asked, key="query-votes")
            promise(reply)
            if run_files.fixed(run):
                fixed_ensemble(run, asked)
    charts.download("The image as it is now (PNG)", lambda: png(asked.asked), "image.png", "image/png")
    view_as_code.show(view_as_code.query(run))
