/* The leaf of a map in which a write changes entries, as `BlockMap.writable_leaf` and `Leaf.assign` do it. */

#ifndef ODX_WRITABLE_LEAF_H
#define ODX_WRITABLE_LEAF_H

#include "native.h"

/* Prepare the other functions. Return -1 with an exception on failure. */
int prepare_writable_leaf(void);

/* Return 1 if a map contains some blocks, 0 if not, or with an exception on failure. */
int is_below_end(PyObject *block_map, uint64_t block, Py_ssize_t count);

/* Find the leaf of a block, as a new reference, if the map may change it without a copy. Return NULL if it must be copied, made or
 * loaded first, or with an exception on failure. */
PyObject *writable_leaf(PyObject *block_map, long long block, int leaf_bits);

/* Give blocks of a leaf consecutive places. Return -1 with an exception on failure. */
int assign_entries(PyObject *leaf, int leaf_bits, Py_ssize_t index, uint64_t place, Py_ssize_t count);

#endif
