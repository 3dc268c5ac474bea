/* Writes that cover only a part of their first or last block: `LogicalBlocks._write_with_edges_now` in `scsi/unit/logical_blocks.py`.
 *
 * The present content of these blocks is read and checked, and the new bytes are laid over it. The result is a write of whole blocks,
 * whose buffer belongs to the open batch. A present block may be in the open batch too, because an earlier write of the same batch has
 * covered a part of it. It is then copied from the buffers of the batch, which do not change before the commit.
 */

#include "partial_blocks.h"

#include "block_reader.h"
#include "block_writer.h"

#include <string.h>

static PyObject *name_parts, *name_block, *name_header_blocks, *name_count_blocks, *name_data, *name_segment, *name_number;

static const Name names[] = {
    {&name_parts, "parts"},               {&name_block, "block"}, {&name_header_blocks, "header_blocks"},
    {&name_count_blocks, "count_blocks"}, {&name_data, "data"},   {&name_segment, "segment"},
    {&name_number, "number"},             {NULL, NULL},
};

int prepare_partial_blocks(void)
{
    return prepare_names(names);
}

/* Copy the block that begins `before_end` bytes before the end of buffers. Returns 1, or 0 if it does not lie within one buffer, or -1
 * with an exception. The search begins at the last buffer, because neighbouring writes follow each other. */
static int copy_from_end(PyObject *buffers, Py_ssize_t before_end, unsigned char *to)
{
    Py_ssize_t index = PyList_GET_SIZE(buffers);
    while (--index >= 0) {
        Py_buffer buffer;
        if (PyObject_GetBuffer(PyList_GET_ITEM(buffers, index), &buffer, PyBUF_SIMPLE))
            return -1;
        int is_inside = before_end <= buffer.len && before_end >= BLOCK_BYTES;
        if (is_inside)
            memcpy(to, (unsigned char *)buffer.buf + (buffer.len - before_end), BLOCK_BYTES);
        before_end -= buffer.len;
        PyBuffer_Release(&buffer);
        if (is_inside || before_end <= 0)
            return is_inside;
    }
    return 0;
}

/* Return the number of the first data block of a part of the open batch, as a place, or -1 with an exception. */
static long long first_place(PyObject *part)
{
    PyObject *segment = PyObject_GetAttr(part, name_segment);
    long long number = segment == NULL ? -1 : number_of(segment, name_number);
    Py_XDECREF(segment);
    long long block = number_of(part, name_block), header_blocks = number_of(part, name_header_blocks);
    return PyErr_Occurred() ? -1 : number << PLACE_BITS | (block + header_blocks);
}

/* Copy a block from a part of the open batch. Returns 1, or 0 if it is not there or not within one buffer, or -1 with an exception. */
static int copy_from_part(PyObject *part, uint64_t place, unsigned char *to)
{
    long long first = first_place(part), count = PyErr_Occurred() ? -1 : number_of(part, name_count_blocks);
    if (PyErr_Occurred())
        return -1;
    if (place < (uint64_t)first || place >= (uint64_t)first + (uint64_t)count)
        return 0;
    PyObject *buffers = PyObject_GetAttr(part, name_data);
    if (buffers == NULL)
        return -1;
    Py_ssize_t before_end = (Py_ssize_t)((uint64_t)first + (uint64_t)count - place) * BLOCK_BYTES;
    int found = PyList_Check(buffers) ? copy_from_end(buffers, before_end, to) : 0;
    Py_DECREF(buffers);
    return found;
}

/* Copy a block of the open batch. Returns as `copy_from_part` does. */
static int copy_pending(PyObject *filling, uint64_t place, unsigned char *to)
{
    PyObject *parts = PyObject_GetAttr(filling, name_parts);
    if (parts == NULL)
        return -1;
    int found = 0;
    for (Py_ssize_t index = PyList_Check(parts) ? PyList_GET_SIZE(parts) : 0; found == 0 && index > 0; index--)
        found = copy_from_part(PyList_GET_ITEM(parts, index - 1), place, to);
    Py_DECREF(parts);
    return found;
}

/* Where the present content of a block is. */
typedef struct {
    uint64_t place; /* 0 for a hole */
    Run run;        /* `segment` is NULL if the block is a hole or in the open batch */
} Present;

/* Find the present content of a block. Returns 1, or 0 if the block is not usual, or -1 with an exception. */
static int find_present(Reading *reading, PyObject *block_map, uint64_t block, Present *present)
{
    *present = (Present){0};
    Py_ssize_t count = run_at(block_map, (long long)block, reading->reader->leaf_bits, 1, &reading->leaf, &present->place);
    if (count <= 0)
        return (int)count;
    int is_pending = present->place >= reading->pending_place && present->place < COMPRESSED;
    return present->place == 0 || is_pending ? 1 : find_run(reading, present->place, 1, &present->run);
}

/* Copy the present content of a block. Meanwhile, the block `next` is fetched, if there is one. Returns as `find_present` does. */
static int read_present(Reading *reading, const Present *present, const Present *next, unsigned char *to)
{
    if (present->run.segment != NULL)
        return read_run(&present->run, next != NULL && next->run.segment != NULL ? &next->run : NULL, to);
    if (present->place != 0)
        return copy_pending(reading->reader->filling, present->place, to);
    memset(to, 0, BLOCK_BYTES);
    return 1;
}

/* Read the present content of the first and of the last of some blocks, if bytes from `skip` to `end` do not cover them. Returns as
 * `find_present` does. */
static int read_edges(Reading *reading, PyObject *block_map, uint64_t first, Py_ssize_t skip, Py_ssize_t end, unsigned char *content)
{
    Py_ssize_t last = (end - 1) / BLOCK_BYTES;
    int has_rest = end % BLOCK_BYTES != 0, reads_last = has_rest && last > 0, reads_first = skip != 0 || (has_rest && last == 0);
    Present of_first, of_last;
    int found = 1;
    if (reads_first)
        found = find_present(reading, block_map, first, &of_first);
    if (found > 0 && reads_last)
        found = find_present(reading, block_map, first + (uint64_t)last, &of_last);
    if (found > 0 && reads_first)
        found = read_present(reading, &of_first, reads_last ? &of_last : NULL, content);
    if (found > 0 && reads_last)
        found = read_present(reading, &of_last, NULL, content + last * BLOCK_BYTES);
    return found;
}

int write_part_of_blocks(PyObject *writer, PyObject *reader, PyObject *block_map, PyObject *volume, uint64_t offset,
                         const unsigned char *bytes, uint64_t size)
{
    int found = is_in_map(block_map, offset, size);
    if (found <= 0)
        return found;
    uint64_t first = offset / BLOCK_BYTES;
    Py_ssize_t skip = (Py_ssize_t)(offset % BLOCK_BYTES), end = skip + (Py_ssize_t)size;
    Py_ssize_t count = (end + BLOCK_BYTES - 1) / BLOCK_BYTES, leaf_blocks = (Py_ssize_t)1 << ((BlockReader *)reader)->leaf_bits;
    if ((Py_ssize_t)(first & (uint64_t)(leaf_blocks - 1)) + count > leaf_blocks) /* a write of two leaves is not usual */
        return 0;
    PyObject *content = PyBytes_FromStringAndSize(NULL, count * BLOCK_BYTES);
    if (content == NULL)
        return -1;
    unsigned char *to = (unsigned char *)PyBytes_AS_STRING(content);
    Reading reading;
    found = begin_reading(&reading, (BlockReader *)reader);
    if (found > 0)
        found = read_edges(&reading, block_map, first, skip, end, to);
    end_reading(&reading);
    if (found > 0) {
        memcpy(to + skip, bytes, (size_t)size);
        found = write_blocks(writer, block_map, volume, first, content, to, count);
    }
    Py_DECREF(content);
    return found;
}

PyObject *write_bytes_now(PyObject *self, PyObject *const *arguments, Py_ssize_t count_arguments)
{
    if (count_arguments != 5 || !is_block_reader(arguments[0]))
        return PyErr_Format(PyExc_TypeError, "write_bytes_now takes a BlockReader and 4 other arguments");
    int overflow;
    long long offset = PyLong_AsLongLongAndOverflow(arguments[3], &overflow);
    Py_buffer buffer;
    if (PyErr_Occurred() || PyObject_GetBuffer(arguments[4], &buffer, PyBUF_SIMPLE))
        return NULL;
    int written = 0;
    if (offset >= 0 && !overflow)
        written = write_part_of_blocks(self, arguments[0], arguments[1], arguments[2], (uint64_t)offset, buffer.buf,
                                       (uint64_t)buffer.len);
    PyBuffer_Release(&buffer);
    return written < 0 ? NULL : PyBool_FromLong(written);
}
