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

/* Assign in Python, because the entries are packed. */
static int assign_packed(PyObject *leaf, Py_ssize_t index, uint64_t place, Py_ssize_t count)
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
    uint64_t *places = buffer.buf;
    int is_dense = buffer.len == (Py_ssize_t)sizeof(uint64_t) << leaf_bits;
    for (Py_ssize_t at = 0; is_dense && at < count; at++)
        places[index + at] = place + (uint64_t)at;
    PyBuffer_Release(&buffer);
    return is_dense ? 0 : assign_packed(leaf, index, place, count);
}
