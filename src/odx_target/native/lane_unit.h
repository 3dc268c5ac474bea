/* The logical unit of the commands that one call of `execute_usual` executes. */

#ifndef ODX_LANE_UNIT_H
#define ODX_LANE_UNIT_H

#include "native.h"

typedef struct {
    PyObject *unit, *blocks; /* NULL before the first command */
    PyObject *native_reads;  /* tuple of a BlockReader and its map, or None */
    PyObject *native_writes; /* tuple of a BlockWriter, its map and the number of the volume, or None; NULL before the first write */
    uint64_t lun, capacity_blocks, block_bytes;
    uint64_t max_read_bytes, max_write_bytes; /* NOT_ASKED until `is_short` needs it */
} Unit;

#define NOT_ASKED UINT64_MAX

/* Prepare the other functions. Return -1 with an exception on failure. */
int prepare_lane_unit(void);

/* Get the logical unit of a LUN. Return 1, or 0 if its commands are not usual, or -1 with an exception. */
int turn_to_unit(PyObject *lane, uint64_t lun_field, Unit *of);

/* Return 1 if a read or a write of a unit is not longer than a usual one, 0 if it is, or -1 with an exception. */
int is_short(PyObject *lane, Unit *of, int is_write, uint64_t size_bytes);

/* Release a unit. */
void leave_unit(Unit *of);

/* Return 1 if a read has only whole blocks of the store. */
int has_whole_blocks(const Unit *of, uint64_t lba, uint32_t size_bytes);

/* Read with the native reader. Return a new buffer. If the caller takes views, return a list of views of segments if possible, which
 * only the kernel may read (see `block_views.c`). Return None if there is no reader or some blocks are not usual, or NULL with an
 * exception. Unless `checksum` is NULL, `*checksum` becomes the CRC32C of the blocks. */
PyObject *read_natively(const Unit *of, uint64_t lba, uint32_t size_bytes, int takes_views, uint32_t *checksum);

/* Read or write with the function of the logical blocks. `argument` is the number of blocks, or a tuple of buffers. Return what the
 * function returns, or NULL with an exception, also if `argument` is NULL. */
PyObject *transfer_in_python(const Unit *of, int is_write, uint64_t lba, PyObject *argument);

/* Return 1 if a flush of the unit need not wait, 0 if not, or -1 with an exception. */
int flushes_at_once(const Unit *of);

/* Make the next commit of the pool flush too. Return -1 with an exception on failure. */
int flush_at_commit(const Unit *of);

/* Write with the native writer. `view` is a view of the bytes at `bytes`. Return 1, or 0 if there is no writer or the write is not usual,
 * or -1 with an exception. */
int write_natively(Unit *of, uint64_t lba, PyObject *view, const unsigned char *bytes, uint64_t size_bytes);

#endif
