import pandas as pd

from certssb_core.figures import backdoor_smoothing

ROW = {"attack_success": [0.1, 0.9], "clean": [0.2, 0.3], "triggered": [0.2, 0.1]}
ROW |= {f"{name}_{end}": ROW[name] for name in ("clean", "triggered") for end in ("low", "high")}
ROW |= {"auc_clean": [0.5, 0.9], "auc_clean_low": [0.4, 0.8], "auc_clean_high": [0.6, 0.95]}


def test_success_is_across_and_the_interval_is_the_given_one():
    figure = backdoor_smoothing.against_success(pd.DataFrame(ROW), measure="Entropy")
    by_name = {trace.name: trace for trace in figure.data}
    assert set(by_name) == {"clean", "triggered", "triggered from clean"}
    auc = by_name["triggered from clean"]
    assert list(auc.x) == [10, 90]
    assert [round(one, 6) for one in auc.error_y.array] == [0.1, 0.05]
    assert [round(one, 6) for one in auc.error_y.arrayminus] == [0.1, 0.1]


def test_spread_and_roc_have_a_line_per_group():
    spread = pd.DataFrame({"group": ["clean", "clean", "triggered"], "value": [0, 1, 2], "share": [0.0, 1.0, 0.5]})
    assert [trace.name for trace in backdoor_smoothing.spread(spread, measure="Entropy").data] == ["clean", "triggered"]
    roc = pd.DataFrame({"against": ["control"] * 2, "alarms": [0.0, 1.0], "hits": [0.25, 1.0]})
    assert list(backdoor_smoothing.roc(roc).data[1].y) == [25, 100]
