"""How to test code that uses taskmill: in virtual time, in memory, and through thousands of faults."""

from taskmill.testing.domains import assert_submitted as assert_submitted
from taskmill.testing.domains import drain as drain
from taskmill.testing.domains import run as run
from taskmill.testing.domains import scheduler_in_memory as scheduler_in_memory
from taskmill.testing.time import START as START
from taskmill.testing.time import FakeClock as FakeClock
from taskmill.testing.time import virtual_time as virtual_time
