"""Every public layer, combinator and model, in several configurations.

The laws in `test_laws.py` run over this list, and `test_architecture.py` fails when a
public function that makes a layer is missing from it. The first word of a case's name
is the function's name.
"""

from catalogue import (
    attention,
    basics,
    combined,
    images,
    normalization,
    recurrent,
    shaping,
)
from catalogue.case import Case as Case

FAMILIES = (attention, basics, combined, images, normalization, recurrent, shaping)
CATALOGUE = [case for family in FAMILIES for case in family.CASES]
