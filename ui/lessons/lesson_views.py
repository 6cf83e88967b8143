"""The views that a lesson can pin: sections of the pages with their controls fixed, and pictures drawn for lessons.

A view is written in a lesson's file as ``{show = "sigma-histogram", by = "class"}``; the fields of a view of a page are
the controls of that page. A new view is a class in the module of its subject and an entry of :data:`PinnedView`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ui.lessons.attack_views import Attack, Outcome, Sheet, Stamp
from ui.lessons.ball_views import Arrival, Cases, Pair, Pairs, Sandbox
from ui.lessons.certificate_views import Budget, Certified, Failures, Headline, Promises, Votes
from ui.lessons.noise_views import Clouds, Image, RadiusCurves, SigmaGain, SigmaHistogram
from ui.lessons.stage_view import Stage
from ui.lessons.subset_views import Margins, Replaced

PinnedView = Annotated[
    Headline
    | Attack
    | SigmaHistogram
    | SigmaGain
    | Image
    | Certified
    | Budget
    | Promises
    | Pairs
    | Cases
    | Pair
    | Arrival
    | Stage
    | Sandbox
    | Sheet
    | Stamp
    | Outcome
    | Votes
    | Clouds
    | RadiusCurves
    | Failures
    | Margins
    | Replaced,
    Field(discriminator="show"),
]
