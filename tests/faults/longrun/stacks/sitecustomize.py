"""Put on PYTHONPATH of the processes under test: SIGUSR1 writes the stacks of all threads to standard error."""

import faulthandler
import signal

faulthandler.register(signal.SIGUSR1, all_threads=True)
