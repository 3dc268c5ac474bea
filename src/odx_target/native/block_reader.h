/* The reader of usual blocks: where their bytes and their checksums are. */

#ifndef ODX_BLOCK_READER_H
#define ODX_BLOCK_READER_H

#include "native.h"

typedef struct {
    PyObject_HEAD
    PyObject *tables;       /* dict: number of a segment -> array of the checksums of its blocks */
    PyObject *segments;     /* dict: number of a segment -> segment */
    PyObject *filling;      /* `pending_place`: first place that is not committed */
    PyObject *segment_type; /* type of the segments that are files */
    int leaf_bits;          /* a leaf of a map has 2^leaf_bits blocks */
} BlockReader;

#define MAX_READ_BYTES ((uint64_t)64 << 20)
/* Largest read. READ transfers at most 16 MiB. */

/* A run of consecutive blocks of one segment. */
typedef struct {
    PyObject *segment, *mapping; /* `mapping` is None if the file is not mapped */
    Py_buffer table;
    const uint32_t *checksums; /* of the blocks of the run */
    Py_ssize_t at, count;
} Run;

/* Find the segment and the checksums of a run. Return 1, or 0 if the run is not usual, or -1 with an exception. The caller must call
 * `leave_run` in each case. */
int find_run(BlockReader *self, uint64_t place, Py_ssize_t count, Run *run);
void leave_run(Run *run);

/* Add the blocks of a run to the CRC32C of the blocks before them, unless `checksum` is NULL. */
void add_run(uint32_t *checksum, const Run *run);

/* Return 1 if a map contains a range of bytes that is not empty and not too large, 0 if not, or -1 with an exception. */
int is_in_map(PyObject *block_map, uint64_t offset, uint64_t size);

/* Read a run of blocks and check it. Return 1, or 0 if the run is not usual, or -1 with an exception. */
int read_run(BlockReader *self, uint64_t place, Py_ssize_t count, unsigned char *bytes, uint32_t *checksum);

/* gather_now(segment, runs) -> buffer with the blocks of the runs of a segment, or None if some blocks are not usual. `runs` is a
 * sequence of tuples (block, count_blocks, ...). */
PyObject *gather_now(PyObject *self, PyObject *const *arguments, Py_ssize_t count_arguments);

#endif
