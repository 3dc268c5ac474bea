/* Writes that cover only a part of their first or last block. */

#ifndef ODX_PARTIAL_BLOCKS_H
#define ODX_PARTIAL_BLOCKS_H

#include "native.h"

/* Prepare the other function. Return -1 with an exception on failure. */
int prepare_partial_blocks(void);

/* Write bytes from `offset` on. The rest of their first and last block stays as it is. `reader` is a BlockReader of the same log. Return
 * as `write_blocks` does; 0 also means that the present content of a block is not usual. */
int write_part_of_blocks(PyObject *writer, PyObject *reader, PyObject *block_map, PyObject *volume, uint64_t offset,
                         const unsigned char *bytes, uint64_t size);

/* write_bytes_now(reader, block_map, volume, offset, data) -> True if the data was written, False if the write is not usual */
PyObject *write_bytes_now(PyObject *writer, PyObject *const *arguments, Py_ssize_t count_arguments);

#endif
