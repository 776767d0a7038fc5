"""How to test code that uses taskmill: in virtual time, in memory, and under faults."""

from taskmill.testing.domains import assert_submitted as assert_submitted
from taskmill.testing.domains import drain as drain
from taskmill.testing.domains import run as run
from taskmill.testing.domains import scheduler_in_memory as scheduler_in_memory
from taskmill.testing.exploring import PromiseBroken as PromiseBroken
from taskmill.testing.exploring import explore as explore
from taskmill.testing.exploring import replay as replay
from taskmill.testing.exploring import shrink as shrink
from taskmill.testing.exploring import tell as tell
from taskmill.testing.operations import OPERATIONS as OPERATIONS
from taskmill.testing.operations import Operation as Operation
from taskmill.testing.operations import Scene as Scene
from taskmill.testing.operations import any_options as any_options
from taskmill.testing.promises import Bounds as Bounds
from taskmill.testing.story import Plan as Plan
from taskmill.testing.story import Step as Step
from taskmill.testing.story import Story as Story
from taskmill.testing.time import START as START
from taskmill.testing.time import FakeClock as FakeClock
from taskmill.testing.time import virtual_time as virtual_time
from taskmill.testing.trial import Trial as Trial
from taskmill.testing.troubles import TROUBLES as TROUBLES
from taskmill.testing.world import World as World
