/* The parts of the native module. Each part replaces one Python function or class, which defines its behaviour. */

#ifndef ODX_NATIVE_H
#define ODX_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define BLOCK_BYTES 4096

/* Prepare the tables of `crc32c_of_block`. */
void prepare_crc32c(void);

/* Return the CRC32C of BLOCK_BYTES bytes. */
uint32_t crc32c_of_block(const unsigned char *block);

/* Get an attribute that is a number. Return -1 with an exception on failure, but -1 may also be the value. */
long long number_of(PyObject *object, PyObject *name);

/* Get the item of a dict of numbers, as a new reference. Return NULL if there is none, or with an exception on failure. */
PyObject *item_of(PyObject *dict, long long number);

/* Prepare `run_at`. Return -1 with an exception on failure. */
int prepare_block_map(void);

/* Find the run of consecutive places that begins at a block of a map, and has at most `most` blocks. Return its length and its
 * first place, or 0 if its places are not in memory, or -1 with an exception on failure. */
Py_ssize_t run_at(PyObject *block_map, long long block, int leaf_bits, Py_ssize_t most, uint64_t *place);

/* Add the functions or types of a part to the module. Return -1 with an exception on failure. */
int add_block_reader(PyObject *module);
int add_short_lane(PyObject *module);

#endif
