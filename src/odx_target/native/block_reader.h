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

#define COMPRESSED ((uint64_t)1 << 53)
/* All places from this one on are not plain blocks of segments. The value of `store/segments/places.py`. */

#define MAX_READ_BYTES ((uint64_t)64 << 20)
/* Largest read. READ transfers at most 16 MiB. */

/* A segment with usual blocks. `mapping` is None if the file is not mapped. */
typedef struct {
    PyObject *segment, *mapping;
    Py_buffer table; /* checksums of the blocks */
} Source;

#define SOURCES 16

/* A read of some runs. It keeps the segments of the last runs, because scattered blocks are often in few segments. */
typedef struct {
    BlockReader *reader;
    uint64_t pending_place;
    LeafEntries leaf;
    uint64_t numbers[SOURCES]; /* of the segments that are kept, plus 1; 0 if there is none */
    Source sources[SOURCES];   /* by the last bits of the number of a segment */
    Source former;             /* the last segment that another one has replaced */
} Reading;

/* A run of consecutive blocks of one segment. It is valid until two more runs of its read are found, or the read ends. */
typedef struct {
    PyObject *segment, *mapping;
    const unsigned char *mapped; /* the blocks, or NULL if they are not mapped */
    const uint32_t *checksums;
    Py_ssize_t at, count;
} Run;

/* Prepare `begin_reading`. Return -1 with an exception on failure. */
int prepare_block_runs(void);

/* Begin a read. Return 1, or -1 with an exception. The caller must call `end_reading` in each case. */
int begin_reading(Reading *reading, BlockReader *reader);
void end_reading(Reading *reading);

/* Find a run of `count` blocks at a place. Return 1, or 0 if the run is not usual, or -1 with an exception. */
int find_run(Reading *reading, uint64_t place, Py_ssize_t count, Run *run);

/* Find the run at a block of a map, with at most `most` blocks. Return as `find_run` does. */
int find_run_at(Reading *reading, PyObject *block_map, long long block, Py_ssize_t most, Run *run);

/* Add the blocks of a run to the CRC32C of the blocks before them, unless `checksum` is NULL. */
void add_run(uint32_t *checksum, const Run *run);

/* Return 1 if a map contains a range of bytes that is not empty and not too large, 0 if not, or -1 with an exception. */
int is_in_map(PyObject *block_map, uint64_t offset, uint64_t size);

/* Read a run of blocks and check it. Meanwhile, fetch the first block of the run `next`, if there is one. Return 1, or 0 if the run is
 * not usual, or -1 with an exception. */
int read_run(const Run *run, const Run *next, unsigned char *bytes);

/* gather_now(segment, runs) -> buffer with the blocks of the runs of a segment, or None if some blocks are not usual. `runs` is a
 * sequence of tuples (block, count_blocks, ...). */
PyObject *gather_now(PyObject *self, PyObject *const *arguments, Py_ssize_t count_arguments);

/* place_runs(cells, runs, place) -> number of the blocks of the runs, whose cells in a writable buffer of 64-bit numbers become `place`
 * and the following numbers */
PyObject *place_runs(PyObject *module, PyObject *const *arguments, Py_ssize_t count_arguments);

#endif
