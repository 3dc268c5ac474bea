/* Views of usual blocks, which a socket can send without a copy.
 *
 * The segments of the blocks must be mapped. The blocks are checked first. A view keeps its mapping, and a segment with a view is
 * never written again (see `DirectorySegments.recycle`). Only the kernel may read a view: it reports an error if another program has
 * cut the file, but a read by the process would end the process. `copy_if_view` is such a read with a handler.
 */

#include "block_reader.h"

/* Add a view of bytes of a mapping to a list. Returns -1 with an exception on failure. */
static int add_view(PyObject *views, PyObject *mapping, Py_ssize_t from, Py_ssize_t size)
{
    PyObject *whole = PyMemoryView_FromObject(mapping), *view = NULL;
    if (whole != NULL)
        view = PySequence_GetSlice(whole, from, from + size);
    int failed = view == NULL || PyList_Append(views, view);
    Py_XDECREF(whole);
    Py_XDECREF(view);
    return failed ? -1 : 0;
}

/* Add a view of a run after its first `skip` bytes. Returns 1, or 0 if the run is not mapped or does not match, or -1 on failure. */
static int view_run(PyObject *views, const Run *run, Py_ssize_t skip, Py_ssize_t size)
{
    if (run->mapped == NULL || !read_mapped(run->mapped, run->count, NULL, run->checksums, run->mapped))
        return 0;
    return add_view(views, run->mapping, run->at * BLOCK_BYTES + skip, size) ? -1 : 1;
}

/* Add views of all bytes, and add their blocks to a checksum. Returns 1, or 0 if this is not possible or not worth the work, or -1 on
 * failure. */
static int view_runs(Reading *reading, PyObject *block_map, PyObject *views, uint64_t offset, uint64_t size, uint32_t *checksum)
{
    long long block = (long long)(offset / BLOCK_BYTES);
    Py_ssize_t skip = (Py_ssize_t)(offset % BLOCK_BYTES), rest = (Py_ssize_t)size;
    while (rest > 0) {
        Run run;
        int found = find_run_at(reading, block_map, block, (skip + rest + BLOCK_BYTES - 1) / BLOCK_BYTES, &run);
        if (found <= 0)
            return found;
        Py_ssize_t part = run.count * BLOCK_BYTES - skip < rest ? run.count * BLOCK_BYTES - skip : rest;
        if (part < MIN_VIEW_BYTES && part < rest)
            return 0; /* the blocks are scattered */
        found = view_run(views, &run, skip, part);
        if (found <= 0)
            return found;
        add_run(checksum, &run);
        block += run.count;
        rest -= part;
        skip = 0;
    }
    return 1;
}

PyObject *view_bytes(PyObject *reader, PyObject *block_map, uint64_t offset, uint64_t size, uint32_t *checksum)
{
    int found = size < MIN_VIEW_BYTES ? 0 : is_in_map(block_map, offset, size);
    if (found <= 0)
        return found < 0 ? NULL : Py_NewRef(Py_None);
    PyObject *views = PyList_New(0);
    if (views == NULL)
        return NULL;
    if (checksum != NULL)
        *checksum = 0;
    Reading reading;
    found = begin_reading(&reading, (BlockReader *)reader);
    if (found > 0)
        found = view_runs(&reading, block_map, views, offset, size, checksum);
    end_reading(&reading);
    if (found > 0)
        return views;
    Py_DECREF(views);
    return found < 0 ? NULL : Py_NewRef(Py_None);
}
