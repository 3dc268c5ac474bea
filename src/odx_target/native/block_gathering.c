/* Reads of scattered runs of one segment into one buffer, and notes of their new places, for the cleaner. */

#include "block_reader.h"

#define MAX_SEGMENT (UINT64_MAX >> (PLACE_BITS + 1))
#define MAX_SEGMENT_BLOCKS ((long long)1 << PLACE_BITS)

/* Get the first two numbers of a run (block, count_blocks, ...). Return -1 with an exception on failure. */
static int numbers_of_run(PyObject *run, long long *block, long long *count)
{
    if (!PyTuple_Check(run) || PyTuple_GET_SIZE(run) < 2) {
        PyErr_SetString(PyExc_TypeError, "a run is a tuple of a block and a number of blocks");
        return -1;
    }
    *block = PyLong_AsLongLong(PyTuple_GET_ITEM(run, 0));
    *count = PyErr_Occurred() ? 0 : PyLong_AsLongLong(PyTuple_GET_ITEM(run, 1));
    if (PyErr_Occurred())
        return -1;
    if (*block < 0 || *count < 1 || *block > MAX_SEGMENT_BLOCKS || *count > MAX_SEGMENT_BLOCKS - *block) {
        PyErr_SetString(PyExc_ValueError, "a run lies in a segment");
        return -1;
    }
    return 0;
}

/* Return the number of blocks of all runs, or -1 with an exception. */
static long long count_blocks(PyObject *runs)
{
    long long sum = 0, block, count;
    for (Py_ssize_t index = 0; index < PySequence_Fast_GET_SIZE(runs); index++) {
        if (numbers_of_run(PySequence_Fast_GET_ITEM(runs, index), &block, &count))
            return -1;
        sum += count;
    }
    if (sum <= MAX_SEGMENT_BLOCKS)
        return sum;
    PyErr_SetString(PyExc_ValueError, "the runs have more blocks than a segment");
    return -1;
}

/* Find one of the runs. Returns as `find_run` does. */
static int find_gathered(Reading *reading, uint64_t segment, PyObject *runs, Py_ssize_t index, Run *run)
{
    long long block, count;
    if (numbers_of_run(PySequence_Fast_GET_ITEM(runs, index), &block, &count))
        return -1;
    return find_run(reading, segment << PLACE_BITS | (uint64_t)block, (Py_ssize_t)count, run);
}

/* Read all runs. Returns 1, or 0 if some blocks are not usual, or -1 with an exception. */
static int gather(Reading *reading, uint64_t segment, PyObject *runs, unsigned char *bytes)
{
    Py_ssize_t last = PySequence_Fast_GET_SIZE(runs) - 1;
    Run run, next;
    int found = last < 0 ? 1 : find_gathered(reading, segment, runs, 0, &next);
    for (Py_ssize_t index = 0; found > 0 && index <= last; index++) {
        run = next;
        if (index < last)
            found = find_gathered(reading, segment, runs, index + 1, &next);
        if (found > 0)
            found = read_run(&run, index < last ? &next : NULL, bytes);
        bytes += run.count * BLOCK_BYTES;
    }
    return found;
}

/* Return the content of runs, which are a list or a tuple, or None if some blocks are not usual, or NULL with an exception. */
static PyObject *gathered(BlockReader *self, uint64_t segment, PyObject *runs)
{
    long long count = count_blocks(runs);
    PyObject *content = count < 0 ? NULL : PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)count * BLOCK_BYTES);
    if (content == NULL)
        return NULL;
    Reading reading;
    int found = begin_reading(&reading, self);
    if (found > 0)
        found = gather(&reading, segment, runs, (unsigned char *)PyByteArray_AS_STRING(content));
    end_reading(&reading);
    if (found > 0)
        return content;
    Py_DECREF(content);
    return found < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *gather_now(PyObject *self, PyObject *const *arguments, Py_ssize_t count_arguments)
{
    if (count_arguments != 2)
        return PyErr_Format(PyExc_TypeError, "gather_now takes 2 arguments");
    uint64_t segment = PyLong_AsUnsignedLongLong(arguments[0]);
    if (PyErr_Occurred())
        return NULL;
    if (segment > MAX_SEGMENT)
        return PyErr_Format(PyExc_ValueError, "the number of a segment is too high");
    PyObject *runs = PySequence_Fast(arguments[1], "the runs are a sequence");
    PyObject *content = runs == NULL ? NULL : gathered((BlockReader *)self, segment, runs);
    Py_XDECREF(runs);
    return content;
}

/* Store consecutive places in the cells of the blocks of some runs. Returns the number of blocks, or -1 with an exception. */
static long long place_all(const Py_buffer *cells, PyObject *runs, uint64_t place)
{
    uint64_t *places = cells->buf;
    long long sum = 0, block, count, length = cells->len / (Py_ssize_t)sizeof *places;
    for (Py_ssize_t index = 0; index < PySequence_Fast_GET_SIZE(runs); index++) {
        if (numbers_of_run(PySequence_Fast_GET_ITEM(runs, index), &block, &count))
            return -1;
        if (block + count > length) {
            PyErr_SetString(PyExc_ValueError, "a run ends after the cells");
            return -1;
        }
        for (long long at = 0; at < count; at++)
            places[block + at] = place++;
        sum += count;
    }
    return sum;
}

PyObject *place_runs(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count_arguments)
{
    if (count_arguments != 3)
        return PyErr_Format(PyExc_TypeError, "place_runs takes 3 arguments");
    uint64_t place = PyLong_AsUnsignedLongLong(arguments[2]);
    Py_buffer cells;
    PyObject *runs = PyErr_Occurred() ? NULL : PySequence_Fast(arguments[1], "the runs are a sequence");
    if (runs == NULL || PyObject_GetBuffer(arguments[0], &cells, PyBUF_WRITABLE)) {
        Py_XDECREF(runs);
        return NULL;
    }
    long long count = place_all(&cells, runs, place);
    PyBuffer_Release(&cells);
    Py_DECREF(runs);
    return count < 0 ? NULL : PyLong_FromLongLong(count);
}
