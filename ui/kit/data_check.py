"""Say on a page that a dataset is not on this machine, and offer its download; or that it has too few classes."""

from __future__ import annotations

from certssb_core.config.schema import DataConfig
from certssb_core.data.datasets import DATASETS, availability
from certssb_core.runs import server_limits
from ui.kit import errand, text


def present(data: DataConfig) -> bool:
    """Tell whether the data is here and can be told apart; where it is not, say so.

    The download of what can be had is offered.
    """
    if data.classes is not None and len(data.classes) < 2:
        text.failed("At least two classes are needed.", "Choose another beside it; none at all means every class.")
        return False
    found = availability(data.name, data.root)
    if found.present:
        return True
    text.failed(found.message)
    if DATASETS[data.name].downloadable and server_limits.current().downloads:
        errand.offer(
            f"fetch/{data.name}/{data.root}",
            *("fetch", data.name, *(("--root", data.root) if data.root else ())),
            button=f"Download {DATASETS[data.name].title}",
            icon=":material/cloud_download:",
            help="From its public source, in the background; this needs a network.",
            working=f"Downloading {DATASETS[data.name].title} …",
        )
    return False
