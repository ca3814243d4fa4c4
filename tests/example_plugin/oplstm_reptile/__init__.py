"""First-order Reptile and a benchmark for it: an example of a plug-in of oplstm.

Importing this registers what it brings, which is all that ``--plugin oplstm_reptile`` does. ``declare`` names an entry
that is imported when it is looked up; ``register`` takes the entry itself. An installation declares the same as entry
points, which is no conflict.
"""

from oplstm.episodes.registry import BENCHMARKS
from oplstm.learners.registry import LEARNERS
from search_spaces.spaces import SPACES

LEARNERS.declare("reptile", "oplstm_reptile.reptile:Reptile")
BENCHMARKS.declare("waves", "oplstm_reptile.waves:WaveTasks")
SPACES.declare("reptile", "oplstm_reptile.spaces:reptile")
