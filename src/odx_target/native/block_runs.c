/* The runs of a read: their segments, and the checksums of their blocks. */

#include "block_reader.h"

#define BLOCK_MASK (((uint64_t)1 << PLACE_BITS) - 1)
/* The value of `store/segments/places.py`. */

static PyObject *name_pending_place, *name_mapping;

static const Name names[] = {
    {&name_pending_place, "pending_place"},
    {&name_mapping, "mapping"},
    {NULL, NULL},
};

int prepare_block_runs(void)
{
    return prepare_names(names);
}

static void leave_source(Source *source)
{
    if (source->table.obj != NULL)
        PyBuffer_Release(&source->table);
    Py_CLEAR(source->mapping);
    Py_CLEAR(source->segment);
}

int begin_reading(Reading *reading, BlockReader *reader)
{
    reading->reader = reader;
    reading->leaf.entries.obj = NULL;
    reading->former = (Source){0};
    for (int slot = 0; slot < SOURCES; slot++)
        reading->numbers[slot] = 0;
    long long pending_place = number_of(reader->filling, name_pending_place);
    reading->pending_place = pending_place < 0 ? 0 : (uint64_t)pending_place;
    return PyErr_Occurred() ? -1 : 1;
}

void end_reading(Reading *reading)
{
    leave_leaf(&reading->leaf);
    leave_source(&reading->former);
    for (int slot = 0; slot < SOURCES; slot++)
        if (reading->numbers[slot] != 0)
            leave_source(&reading->sources[slot]);
}

/* Open a segment. Return 1, or 0 if its blocks are not usual, or -1 with an exception. The caller must leave it in each case. */
static int open_source(BlockReader *reader, long long number, Source *source)
{
    *source = (Source){0};
    source->segment = item_of(reader->segments, number);
    PyObject *table = item_of(reader->tables, number);
    if (source->segment != NULL && table != NULL && (PyObject *)Py_TYPE(source->segment) == reader->segment_type)
        source->mapping = PyObject_GetAttr(source->segment, name_mapping);
    if (source->mapping != NULL)
        (void)PyObject_GetBuffer(table, &source->table, PyBUF_SIMPLE);
    Py_XDECREF(table);
    return PyErr_Occurred() ? -1 : source->table.obj != NULL;
}

/* Return the source of a segment, or NULL if its blocks are not usual, or with an exception. */
static const Source *source_of(Reading *reading, uint64_t number)
{
    Source *source = &reading->sources[number % SOURCES];
    uint64_t *kept = &reading->numbers[number % SOURCES];
    if (*kept == number + 1)
        return source;
    if (*kept != 0) { /* The present run may be in the segment that is replaced. */
        leave_source(&reading->former);
        reading->former = *source;
        *kept = 0;
    }
    if (open_source(reading->reader, (long long)number, source) <= 0) {
        leave_source(source);
        return NULL;
    }
    *kept = number + 1;
    return source;
}

int find_run(Reading *reading, uint64_t place, Py_ssize_t count, Run *run)
{
    if (place == 0 || place >= COMPRESSED || place + (uint64_t)count > reading->pending_place)
        return 0;
    const Source *source = source_of(reading, place >> PLACE_BITS);
    if (source == NULL)
        return PyErr_Occurred() ? -1 : 0;
    Py_ssize_t at = (Py_ssize_t)(place & BLOCK_MASK);
    if (at + count > source->table.len / (Py_ssize_t)sizeof(uint32_t))
        return 0;
    *run = (Run){.segment = source->segment, .mapping = source->mapping, .at = at, .count = count};
    run->mapped = bytes_mapped(source->mapping, (uint64_t)at * BLOCK_BYTES, (size_t)(count * BLOCK_BYTES));
    run->checksums = (const uint32_t *)source->table.buf + at;
    return 1;
}

int find_run_at(Reading *reading, PyObject *block_map, long long block, Py_ssize_t most, Run *run)
{
    uint64_t place = 0;
    Py_ssize_t count = run_at(block_map, block, reading->reader->leaf_bits, most, &reading->leaf, &place);
    return count <= 0 ? (int)count : find_run(reading, place, count, run);
}
