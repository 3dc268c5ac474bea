/* The end of a batch of commands: their counters and their latencies. */

#ifndef ODX_BATCH_TALLY_H
#define ODX_BATCH_TALLY_H

#include "native.h"

/* Do the same as `BatchTally.end` in `target/server/batch_tally.py`. Return -1 with an exception on failure. */
int end_batch(PyObject *tally);

#endif
