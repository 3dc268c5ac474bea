#include "writable_leaf.h"

static PyObject *name_size_blocks, *name_epoch, *name_entries, *name_assign;

static const Name names[] = {
    {&name_size_blocks, "size_blocks"}, {&name_epoch, "_epoch"},   {&name_entries, "entries"},
    {&name_assign, "assign"},           {NULL, NULL},
};

int prepare_writable_leaf(void)
{
    return prepare_names(names);
}

int is_below_end(PyObject *block_map, uint64_t block, Py_ssize_t count)
{
    long long size_blocks = number_of(block_map, name_size_blocks);
    return size_blocks >= 0 && block <= (uint64_t)size_blocks && (uint64_t)count <= (uint64_t)size_blocks - block;
}

PyObject *writable_leaf(PyObject *block_map, long long block, int leaf_bits)
{
    PyObject *epoch = PyObject_GetAttr(block_map, name_epoch);
    PyObject *leaf = epoch == NULL ? NULL : leaf_of(block_map, block, leaf_bits, epoch);
    Py_XDECREF(epoch);
    return leaf;
}

/* Return the index of the first packed run that starts at a block or after it, or `length`. */
static Py_ssize_t run_from(const uint64_t *runs, Py_ssize_t length, Py_ssize_t index)
{
    Py_ssize_t low = 0;
    while (low < length) {
        Py_ssize_t middle = low + (length - low) / 2;
        if ((Py_ssize_t)(runs[middle] >> START_SHIFT) < index)
            low = middle + 1;
        else
            length = middle;
    }
    return low;
}

/* Assign if the blocks continue the run before them and are the first blocks of a longer run. This is so for most sequential writes. Only
 * the bound between these two runs then moves. Returns 0 if this is not so, and nothing has changed. */
static int move_bound(uint64_t *runs, Py_ssize_t length, Py_ssize_t leaf_blocks, Py_ssize_t index, uint64_t place, Py_ssize_t count)
{
    Py_ssize_t low = run_from(runs, length, index), end = index + count;
    if (low == 0 || low == length || (Py_ssize_t)(runs[low] >> START_SHIFT) != index)
        return 0;
    Py_ssize_t end_of_run = low + 1 < length ? (Py_ssize_t)(runs[low + 1] >> START_SHIFT) : leaf_blocks;
    uint64_t before = runs[low - 1] & PLACE_MASK, after = runs[low] & PLACE_MASK;
    if (end >= end_of_run || before == 0 || before + (uint64_t)index - (runs[low - 1] >> START_SHIFT) != place)
        return 0;
    if (after != 0)
        after += (uint64_t)count;
    if (after == place + (uint64_t)count) /* the two runs become one */
        return 0;
    runs[low] = (uint64_t)end << START_SHIFT | after;
    return 1;
}

/* Assign in Python, because packed runs are added or removed. */
static int assign_in_python(PyObject *leaf, Py_ssize_t index, uint64_t place, Py_ssize_t count)
{
    PyObject *arguments[] = {leaf, PyLong_FromSsize_t(index), PyLong_FromUnsignedLongLong(place), PyLong_FromSsize_t(count)};
    PyObject *done = NULL;
    if (arguments[1] != NULL && arguments[2] != NULL && arguments[3] != NULL)
        done = PyObject_VectorcallMethod(name_assign, arguments, 4, NULL);
    Py_XDECREF(arguments[1]);
    Py_XDECREF(arguments[2]);
    Py_XDECREF(arguments[3]);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int assign_entries(PyObject *leaf, int leaf_bits, Py_ssize_t index, uint64_t place, Py_ssize_t count)
{
    PyObject *entries = PyObject_GetAttr(leaf, name_entries);
    Py_buffer buffer;
    if (entries == NULL)
        return -1;
    int failed = PyObject_GetBuffer(entries, &buffer, PyBUF_WRITABLE);
    Py_DECREF(entries); /* the buffer keeps it */
    if (failed)
        return -1;
    Py_ssize_t leaf_blocks = (Py_ssize_t)1 << leaf_bits, length = buffer.len / (Py_ssize_t)sizeof(uint64_t);
    uint64_t *numbers = buffer.buf;
    int is_done = length == leaf_blocks || move_bound(numbers, length, leaf_blocks, index, place, count);
    for (Py_ssize_t at = 0; length == leaf_blocks && at < count; at++)
        numbers[index + at] = place + (uint64_t)at;
    PyBuffer_Release(&buffer);
    return is_done ? 0 : assign_in_python(leaf, index, place, count);
}
