/* The parts of the native module. Each part replaces one Python function or class, which defines its behaviour. */

#ifndef ODX_NATIVE_H
#define ODX_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define BLOCK_BYTES 4096

#define PLACE_BITS 14
/* Number of bits of a block number in a place. The value of `store/segments/segment.py`. */

/* Prepare the tables of `crc32c_of_block`. */
void prepare_crc32c(void);

/* Return the CRC32C of BLOCK_BYTES bytes. Meanwhile, fetch the block at `ahead` into the cache of the processor; there need not be memory
 * at `ahead`. */
uint32_t crc32c_of_block(const unsigned char *block, const unsigned char *ahead);

/* Return the CRC32C of blocks from the CRC32C `checksum` of the blocks before them, or 0 if there are none, and from their own. */
uint32_t crc32c_of_blocks(uint32_t checksum, const uint32_t *checksums, Py_ssize_t count);

/* Return the CRC32C of the bytes that have the CRC32C `checksum`, or 0 if there are none, together with further bytes. */
uint32_t crc32c_with(uint32_t checksum, const unsigned char *bytes, size_t size);

/* The name of an attribute, and where it is kept. */
typedef struct {
    PyObject **name;
    const char *text;
} Name;

/* Make the names of a table, which ends with NULL. Return -1 with an exception on failure. */
int prepare_names(const Name *names);

/* Get an attribute that is a number without a sign. Return 0 with an exception on failure, but 0 may also be the value. */
uint64_t unsigned_of(PyObject *object, PyObject *name);

/* Get an attribute that is a number. Return -1 with an exception on failure, but -1 may also be the value. */
long long number_of(PyObject *object, PyObject *name);

/* Take the present exception with its traceback. Return a new reference; no exception is set then. */
PyObject *take_exception(void);

/* Return the truth of an attribute, or -1 with an exception on failure. */
int truth_of(PyObject *object, PyObject *name);

/* Set an attribute to a number. Return -1 with an exception on failure. */
int set_number(PyObject *object, PyObject *name, uint32_t number);

/* Add a number to an item of a list. Return -1 with an exception on failure. */
int add_to_item(PyObject *list, Py_ssize_t index, uint64_t number);

/* Return a view of the bytes of a view from `from` to `end`, or NULL with an exception. */
PyObject *part_of_view(PyObject *view, Py_ssize_t from, Py_ssize_t end);

/* Store a number in little-endian order. */
void put_little(unsigned char *to, uint64_t number, int size);

/* Get the item of a dict of numbers, as a new reference. Return NULL if there is none, or with an exception on failure. */
PyObject *item_of(PyObject *dict, long long number);

#define START_SHIFT 54
#define PLACE_MASK (((uint64_t)1 << START_SHIFT) - 1)
/* The parts of a packed run of a leaf, as in `store/map/entries.py`. A leaf has 2^leaf_bits blocks, which tests change. */

/* Prepare `run_at`. Return -1 with an exception on failure. */
int prepare_block_map(void);

/* Find the leaf of a block of a map, as a new reference. If `epoch` is not NULL, all nodes above the leaf and the leaf must have this
 * epoch. Return NULL if there is no such leaf, or with an exception on failure. */
PyObject *leaf_of(PyObject *block_map, long long block, int leaf_bits, PyObject *epoch);

/* The entries of the leaf of the last look-up. They are kept for the next one, which is often in the same leaf. */
typedef struct {
    Py_buffer entries; /* `obj` is NULL if there is no leaf */
    long long number;
} LeafEntries;

/* Find the run of consecutive places that begins at a block of a map, and has at most `most` blocks. Return its length and its
 * first place, or 0 if its places are not in memory, or -1 with an exception on failure. The caller must call `leave_leaf` after the
 * last look-up, in each case. */
Py_ssize_t run_at(PyObject *block_map, long long block, int leaf_bits, Py_ssize_t most, LeafEntries *leaf, uint64_t *place);
void leave_leaf(LeafEntries *leaf);

/* Return the bytes of a SegmentMapping from `offset` on, or NULL if the object is no mapping, or does not contain these bytes. Only
 * `read_mapped` and the kernel may read them. */
const unsigned char *bytes_mapped(PyObject *object, uint64_t offset, size_t size);

/* Copy blocks that are mapped, unless `to` is NULL, and check them. Meanwhile, fetch the block at `ahead` into the cache of the
 * processor; there need not be memory at `ahead`. Return 1, or 0 if the blocks do not match their checksums or are missing. */
int read_mapped(const unsigned char *from, Py_ssize_t count, unsigned char *to, const uint32_t *checksums, const unsigned char *ahead);

int is_mapping(PyObject *object);

/* Copy buffers, which are in a list, to a SegmentMapping from `offset` on, one after the other, or some bytes. Return 1, or 0 if they
 * cannot be copied, after which some may have been copied, or -1 with an exception. */
int write_mapped(PyObject *mapping, uint64_t offset, PyObject *buffers);
int write_bytes_mapped(PyObject *mapping, uint64_t offset, const unsigned char *bytes, size_t size);

int is_block_reader(PyObject *object);

/* Read bytes of a map without waiting, and check the blocks that contain them. Return a new buffer, or None if some blocks are not
 * usual or not in the map, or NULL with an exception. Unless `checksum` is NULL, `*checksum` becomes the CRC32C of these blocks, for which
 * they are not read again. */
PyObject *read_bytes(PyObject *reader, PyObject *block_map, uint64_t offset, uint64_t size, uint32_t *checksum);

#define MIN_VIEW_BYTES (16 << 10)
/* Smallest part of a read for which a view is made. A copy of less takes less time. */

/* Do the same as `read_bytes`, but return a list of views of the blocks. Return None also if the blocks are not mapped, or if the
 * range is small or scattered. */
PyObject *view_bytes(PyObject *reader, PyObject *block_map, uint64_t offset, uint64_t size, uint32_t *checksum);

/* Add the functions or types of a part to the module. Return -1 with an exception on failure. */
int add_block_reader(PyObject *module);
int add_block_writer(PyObject *module);
int add_batch_header(PyObject *module);
int add_batch_writer(PyObject *module);
int add_segment_mapping(PyObject *module);
int add_short_lane(PyObject *module);
int add_direct_member(PyObject *module);
int add_batch_tally(PyObject *module);

#endif
