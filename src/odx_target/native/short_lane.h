/* The loop of the short lane, for the parts of the native module that call it. */

#ifndef ODX_SHORT_LANE_H
#define ODX_SHORT_LANE_H

#include "native.h"

/* Received bytes. The commands from `at` on are executed, and `at` then becomes the position after them. The caller owns the bytes, and
 * `view` is a view of at least these bytes. */
typedef struct {
    PyObject *view;
    const unsigned char *bytes;
    Py_ssize_t size, at;
} Received;

/* Execute usual commands until their reads have `enough_bytes` of data. `*read_bytes` becomes the size of this data. Stop before the first
 * command that is not usual, as `ShortLane.run` does, but leave large reads to it. Return -1 with an exception on failure. */
int run_usual(PyObject *lane, Received *received, uint64_t enough_bytes, uint64_t *read_bytes);

#endif
