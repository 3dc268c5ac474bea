/* The writer of usual blocks into the open batch of a log. */

#ifndef ODX_BLOCK_WRITER_H
#define ODX_BLOCK_WRITER_H

#include "native.h"

int is_block_writer(PyObject *object);

/* Write whole blocks. `view` is a view of the bytes at `bytes`. Return 1, or 0 if the write is not usual and nothing has changed, or
 * -1 with an exception. */
int write_blocks(PyObject *writer, PyObject *block_map, PyObject *volume, uint64_t block, PyObject *view, const unsigned char *bytes,
                 Py_ssize_t count);

#endif
