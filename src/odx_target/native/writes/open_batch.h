/* The open batch of a log, if it is usual: it has one part, with at most one header block, and its segment is mapped. */

#ifndef ODX_OPEN_BATCH_H
#define ODX_OPEN_BATCH_H

#include "batch_header.h"

/* A `Log` in `store/log/writer.py`, and its parts. */
typedef struct {
    PyObject *log, *filling, *chain, *flusher, *health, *unwritten;
} Log;

/* A batch with one part. The objects are owned by it. */
typedef struct {
    PyObject *parts, *part, *segment, *mapping, *data;
    PyObject *identity, *records;
    Py_buffer table;      /* checksums of all blocks of the segment; `obj` is NULL if there is none */
    HeaderFields fields;
    uint64_t slot;        /* offset of a shared header in the segment, or 0 */
    uint64_t first_block; /* first block of the part */
    uint64_t header_blocks;
    Py_ssize_t header_bytes; /* without the zeros after it */
    uint32_t checksum;       /* of the header */
} Batch;

/* Prepare the other functions. Return -1 with an exception on failure. */
int prepare_open_batch(void);

/* Find the open batch, whose fields are all 0 before. Return 1, or 0 if it is not usual, or -1 with an exception. The caller must call
 * `leave_batch` in each case. */
int find_batch(const Log *log, Batch *batch);
void leave_batch(Batch *batch);

/* Encode the header of a batch. Return 1, or -1 with an exception. */
int encode_batch(const Log *log, Batch *batch, unsigned char header[BLOCK_BYTES]);

/* Return 1 if an attribute is a certain object, 0 if not, or -1 with an exception. */
int has(PyObject *object, PyObject *name, PyObject *wanted);

#endif
