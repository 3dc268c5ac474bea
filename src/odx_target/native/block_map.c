/* The look-up of places in a block map, as `MapReader.runs` in `store/map/frozen_root.py` does it. */

#include "native.h"

static PyObject *name_root, *name_shift, *name_children, *name_entries, *name_epoch;

static const Name names[] = {
    {&name_root, "root"},       {&name_shift, "_shift"}, {&name_children, "children"},
    {&name_entries, "entries"}, {&name_epoch, "epoch"},  {NULL, NULL},
};

int prepare_block_map(void)
{
    return prepare_names(names);
}

/* Get the child of an inner node of a map. The children are a dict, or an array of numpy. */
static PyObject *child_of(PyObject *node, long long slot)
{
    PyObject *children = PyObject_GetAttr(node, name_children);
    if (children == NULL)
        return NULL;
    PyObject *child = PyDict_Check(children) ? item_of(children, slot) : PySequence_GetItem(children, (Py_ssize_t)slot);
    Py_DECREF(children);
    return child;
}

/* Return 1 if a node has an epoch, 0 if not, or -1 with an exception on failure. */
static int is_of_epoch(PyObject *node, PyObject *epoch)
{
    PyObject *found = PyObject_GetAttr(node, name_epoch);
    Py_XDECREF(found); /* the node keeps it */
    return found == NULL ? -1 : found == epoch;
}

PyObject *leaf_of(PyObject *block_map, long long block, int leaf_bits, PyObject *epoch)
{
    long long shift = number_of(block_map, name_shift);
    if (shift == -1 && PyErr_Occurred())
        return NULL;
    PyObject *node = PyObject_GetAttr(block_map, name_root);
    while (node != NULL && node != Py_None) {
        if (epoch != NULL && is_of_epoch(node, epoch) <= 0) {
            Py_CLEAR(node);
            break;
        }
        if (shift <= 0)
            break;
        PyObject *child = child_of(node, block >> shift & ((1LL << leaf_bits) - 1));
        Py_SETREF(node, child);
        shift -= leaf_bits;
    }
    if (node == Py_None)
        Py_CLEAR(node);
    return node;
}

/* Return the length of the run that begins at an index of dense entries. Its first place is `*place`. */
static Py_ssize_t dense_run(const uint64_t *entries, Py_ssize_t index, Py_ssize_t most, uint64_t *place)
{
    Py_ssize_t count = 1;
    *place = entries[index];
    while (count < most && entries[index + count] == *place + (uint64_t)count)
        count++;
    return count;
}

/* Return the length of the run that contains an index of packed entries, from the index on. The last run ends
 * at `end`. */
static Py_ssize_t packed_run(const uint64_t *entries, Py_ssize_t length, Py_ssize_t index, Py_ssize_t end, Py_ssize_t most,
                             uint64_t *place)
{
    Py_ssize_t low = 0, high = length;
    while (high - low > 1) {
        Py_ssize_t middle = low + (high - low) / 2;
        if ((Py_ssize_t)(entries[middle] >> START_SHIFT) <= index)
            low = middle;
        else
            high = middle;
    }
    Py_ssize_t start = (Py_ssize_t)(entries[low] >> START_SHIFT);
    if (low + 1 < length)
        end = (Py_ssize_t)(entries[low + 1] >> START_SHIFT);
    *place = entries[low] & PLACE_MASK;
    if (*place != 0)
        *place += (uint64_t)(index - start);
    return end - index < most ? end - index : most;
}

void leave_leaf(LeafEntries *leaf)
{
    if (leaf->entries.obj != NULL)
        PyBuffer_Release(&leaf->entries);
}

/* Turn to the leaf of a block. Returns 1, or 0 if there is none, or -1 with an exception on failure. */
static int turn_to_leaf(PyObject *block_map, long long block, int leaf_bits, LeafEntries *of)
{
    leave_leaf(of);
    PyObject *leaf = leaf_of(block_map, block, leaf_bits, NULL);
    if (leaf == NULL)
        return PyErr_Occurred() ? -1 : 0;
    PyObject *entries = PyObject_GetAttr(leaf, name_entries);
    Py_DECREF(leaf);
    int failed = entries == NULL || PyObject_GetBuffer(entries, &of->entries, PyBUF_SIMPLE);
    Py_XDECREF(entries); /* the buffer keeps it */
    of->number = block >> leaf_bits;
    return failed ? -1 : 1;
}

/* Find the run of consecutive places that begins at a block. Returns its length, 0 if it is not usual, or -1 on failure. */
Py_ssize_t run_at(PyObject *block_map, long long block, int leaf_bits, Py_ssize_t most, LeafEntries *leaf, uint64_t *place)
{
    int found = leaf->entries.obj != NULL && leaf->number == block >> leaf_bits ? 1 : turn_to_leaf(block_map, block, leaf_bits, leaf);
    if (found <= 0)
        return found;
    Py_ssize_t leaf_blocks = (Py_ssize_t)1 << leaf_bits, index = (Py_ssize_t)(block & (leaf_blocks - 1));
    Py_ssize_t length = leaf->entries.len / (Py_ssize_t)sizeof(uint64_t);
    if (most > leaf_blocks - index)
        most = leaf_blocks - index;
    if (length == leaf_blocks)
        return dense_run(leaf->entries.buf, index, most, place);
    if (length == 0) /* the entries are not in memory */
        return 0;
    return packed_run(leaf->entries.buf, length, index, leaf_blocks, most, place);
}
