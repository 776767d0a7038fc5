"""An executor as somebody else would write it: a worker behind a socket, and tests of both."""
