"""Query: what the members and the store say about one image, as it is changed."""

import streamlit as st

from certssb_core.certify.subset import Drawing
from certssb_core.figures import votes
from certssb_core.figures.images import picture, png
from certssb_core.plain_text import markdown_text
from certssb_core.query import edit_image as core
from certssb_core.query.reply import Reply
from certssb_core.runs.run import Run
from ui.kit import charts, run_files, tables, text, verdict, view_as_code
from ui.query import answers, image_source

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


def answer(reply: Reply, drawing: Drawing | None) -> None:
    st.subheader("The answer", anchor=False)
    by = "the store" if reply.answered_by == "store" else "the members"
    cut = reply.radius < reply.members_radius
    edge = (
        "to the edge of a rival ball" if cut else f"{drawing.replaced:,} images replaced" if drawing else "σ* · margin"
    )
    if reply.ball is not None:
        edge = f"ball {reply.ball}, stored just now" if reply.inserted else f"to the edge of ball {reply.ball}"
    certified = f"radius {reply.members_radius:.3f}"
    noise = f"Votes cast at σ* {reply.sigma:.3f}." if reply.sigma else "Votes cast without noise."
    for column, (label, value, context, explanation) in zip(
        st.columns(4),
        (
            ("Answer", markdown_text(reply.answer), f"by {by}", "The store is asked first."),
            ("Certified radius", f"{reply.radius:.3f}", edge, "L2 distance in pixel units, by whoever answered."),
            ("Members' margin", f"{max(reply.margin, 0):.3f}", certified, noise),
            ("p_A at least", f"{reply.p_a_lower:.3f}", f"p_B at most {reply.p_b_upper:.3f}", "From the votes, at α."),
        ),
        strict=True,
    ):
        column.metric(
            label, value, context, delta_color="off", delta_arrow="off", help=explanation, border=True, height="stretch"
        )
    with st.expander("What this promises", icon=":material/gavel:"):
        st.markdown(f"**Radius.** {reply.promise}\n\n**Condition.** {reply.condition}")


def fixed_ensemble(reply: Reply) -> None:
    """The fixed ensemble's answer to the same image, drawn for this question."""
    if drawn := reply.fixed:
        st.markdown(
            f"**Fixed ensemble**: {markdown_text(drawn['answer'])}, radius **{drawn['radius']:.3f}**, p_A at least "
            f"{drawn['p_a_lower']:.3f}. {drawn['draws']:,} fresh draws of {drawn['jury']} of these very members answer "
            "here. It is another classifier than the members' vote above, which is about members trained afresh and "
            "has a joint budget.",
            help=f"{drawn['promise']} {drawn['condition']}",
        )


def members(run: Run, asked: image_source.Question, before: Reply, after: Reply) -> None:
    st.subheader("How the members vote", anchor=False)
    names = tables.class_names(run)
    table = votes.table(after.votes, names, before.votes if asked.moved else None)
    leading = markdown_text(names[table["asked"].argmax()])
    certified = "which is certified" if after.prediction >= 0 else "too few to certify: they ABSTAIN"
    charts.show(
        votes.bars(table, names={"picked": "the picked image", "asked": "as it is now"}),
        key="query-votes",
        summary=f"**{max(after.votes):,}** of {sum(after.votes):,} members vote **{leading}**, {certified}.",
        table=table,
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
if (run := run_files.pick_run(moved_input=True)) and (chosen := image_source.choose(run, run_files.inputs(run))):
    asked = image_source.change(run, chosen)
    members_say = st.container()
    if run.config.kind.balls:
        store(run, asked)  # at once; the members may still have to be loaded
    with members_say:
        if reason := answers.unable(run):
            text.empty(f"{markdown_text(reason)}." + " The store still answers." * run.config.kind.balls)
        else:
            before, after = answers.ask(run, asked.picked), answers.ask(run, asked.asked)
            if asked.moved:
                st.info(core.verdict(before, after, asked.moved), icon=":material/straighten:")
            answer(after, run.config.drawing)
            fixed_ensemble(after)
            if asked.truth is not None:
                name = tables.class_names(run)[asked.truth]
                st.markdown(f"The picked image: {verdict.beside_truth(name, after.label, asked.truth)}")
            members(run, asked, before, after)
    charts.download("The image as it is now (PNG)", lambda: png(asked.asked), "image.png", "image/png")
    view_as_code.show(view_as_code.query(run))
