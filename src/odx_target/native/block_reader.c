/* Reads of usual blocks without waiting, and checksums of the blocks of a write.
 *
 * `BlockReader.read_now` does the work of `Readable.read_now` in `store/volumes/sources.py` if all blocks are usual: their places
 * are in memory, they are plain blocks of committed batches, and their segments are files that are mapped, or whose descriptors
 * are open. In all other cases, and if a checksum differs, it returns None. The caller then reads the blocks in Python, which
 * handles every case.
 *
 * The function keeps the lock of the interpreter from the look-up of a descriptor to the end of the read. So no thread closes the
 * descriptor meanwhile.
 */

#include "block_reader.h"

#include <string.h>
#include <sys/uio.h>

#define MAX_COPIED_BYTES (16 << 10)
/* Largest size of a part of blocks that is moved to the beginning of its buffer. A view of a larger part takes less time. */

#define MIN_UNLOCKED_BYTES (32 << 10)
/* Smallest size of a buffer whose checksum is computed while other threads run. */

static PyTypeObject reader_type;
static PyObject *name_size_blocks, *name_descriptor, *name_read_flags;

static const Name names[] = {
    {&name_size_blocks, "size_blocks"},
    {&name_descriptor, "descriptor"},
    {&name_read_flags, "read_flags"},
    {NULL, NULL},
};

/* Read blocks of a file, and check them. Return 1, or 0 if the read may have to wait or some blocks do not match, or -1 on
 * failure. */
static int read_file(const Run *run, unsigned char *bytes)
{
    int descriptor = (int)number_of(run->segment, name_descriptor), flags = (int)number_of(run->segment, name_read_flags);
    if (descriptor < 0 || flags < 0)
        return PyErr_Occurred() ? -1 : 0;
    struct iovec part = {bytes, (size_t)(run->count * BLOCK_BYTES)};
    if (preadv2(descriptor, &part, 1, (off_t)run->at * BLOCK_BYTES, flags) != (ssize_t)part.iov_len)
        return 0;
    for (Py_ssize_t index = 0; index < run->count; index++, bytes += BLOCK_BYTES)
        if (crc32c_of_block(bytes, index + 1 < run->count ? bytes + BLOCK_BYTES : bytes) != run->checksums[index])
            return 0;
    return 1;
}

void add_run(uint32_t *checksum, const Run *run)
{
    if (checksum != NULL)
        *checksum = crc32c_of_blocks(*checksum, run->checksums, run->count);
}

int read_run(const Run *run, const Run *next, unsigned char *bytes)
{
    const unsigned char *ahead = next != NULL && next->mapped != NULL ? next->mapped : bytes;
    return run->mapped != NULL && read_mapped(run->mapped, run->count, bytes, run->checksums, ahead) ? 1 : read_file(run, bytes);
}

/* Read blocks into a buffer, and add them to a checksum. Returns 1, or 0 if some blocks are not usual, or -1 on failure. */
static int read_blocks(Reading *reading, PyObject *block_map, long long block, Py_ssize_t count, unsigned char *bytes,
                       uint32_t *checksum)
{
    Run run, next;
    int found = find_run_at(reading, block_map, block, count, &next);
    while (found > 0) {
        run = next;
        block += run.count;
        count -= run.count;
        if (count > 0)
            found = find_run_at(reading, block_map, block, count, &next);
        if (found > 0)
            found = read_run(&run, count > 0 ? &next : NULL, bytes);
        if (found > 0)
            add_run(checksum, &run);
        if (count == 0)
            break;
        bytes += run.count * BLOCK_BYTES;
    }
    return found;
}

/* Return a part of a content that begins after `skip` bytes. Releases the content. */
static PyObject *part_of(PyObject *content, Py_ssize_t skip, Py_ssize_t size)
{
    if (skip == 0 && size == PyByteArray_GET_SIZE(content))
        return content;
    if (size <= MAX_COPIED_BYTES) {
        char *bytes = PyByteArray_AS_STRING(content);
        memmove(bytes, bytes + skip, (size_t)size);
        if (PyByteArray_Resize(content, size))
            Py_CLEAR(content);
        return content;
    }
    PyObject *view = PyMemoryView_FromObject(content), *part = NULL;
    Py_DECREF(content);
    if (view != NULL)
        part = PySequence_GetSlice(view, skip, skip + size);
    Py_XDECREF(view);
    return part;
}

int is_block_reader(PyObject *object)
{
    return Py_IS_TYPE(object, &reader_type);
}

int is_in_map(PyObject *block_map, uint64_t offset, uint64_t size)
{
    long long size_blocks = number_of(block_map, name_size_blocks);
    if (size_blocks < 0)
        return PyErr_Occurred() ? -1 : 0;
    uint64_t limit = (uint64_t)size_blocks * BLOCK_BYTES;
    return size != 0 && size <= MAX_READ_BYTES && offset <= limit && size <= limit - offset;
}

PyObject *read_bytes(PyObject *reader, PyObject *block_map, uint64_t offset, uint64_t size, uint32_t *checksum)
{
    int found = is_in_map(block_map, offset, size);
    if (found <= 0)
        return found < 0 ? NULL : Py_NewRef(Py_None);
    Py_ssize_t skip = (Py_ssize_t)(offset % BLOCK_BYTES);
    Py_ssize_t count = (skip + (Py_ssize_t)size + BLOCK_BYTES - 1) / BLOCK_BYTES;
    PyObject *content = PyByteArray_FromStringAndSize(NULL, count * BLOCK_BYTES);
    if (content == NULL)
        return NULL;
    unsigned char *bytes = (unsigned char *)PyByteArray_AS_STRING(content);
    if (checksum != NULL)
        *checksum = 0;
    Reading reading;
    found = begin_reading(&reading, (BlockReader *)reader);
    if (found > 0)
        found = read_blocks(&reading, block_map, (long long)(offset / BLOCK_BYTES), count, bytes, checksum);
    end_reading(&reading);
    if (found > 0)
        return part_of(content, skip, (Py_ssize_t)size);
    Py_DECREF(content);
    return found < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *read_now(PyObject *self, PyObject *const *arguments, Py_ssize_t count_arguments)
{
    if (count_arguments != 3)
        return PyErr_Format(PyExc_TypeError, "read_now takes 3 arguments");
    uint64_t block = PyLong_AsUnsignedLongLong(arguments[1]), count = PyLong_AsUnsignedLongLong(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    if (block > UINT64_MAX / BLOCK_BYTES || count > UINT64_MAX / BLOCK_BYTES)
        return Py_NewRef(Py_None);
    return read_bytes(self, arguments[0], block * BLOCK_BYTES, count * BLOCK_BYTES, NULL);
}

static PyObject *view_now(PyObject *self, PyObject *const *arguments, Py_ssize_t count_arguments)
{
    if (count_arguments != 3)
        return PyErr_Format(PyExc_TypeError, "view_now takes 3 arguments");
    uint64_t offset = PyLong_AsUnsignedLongLong(arguments[1]), size = PyLong_AsUnsignedLongLong(arguments[2]);
    return PyErr_Occurred() ? NULL : view_bytes(self, arguments[0], offset, size, NULL);
}

static PyObject *block_checksums(PyObject *Py_UNUSED(module), PyObject *data)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE))
        return NULL;
    PyObject *checksums = PyList_New(buffer.len / BLOCK_BYTES);
    for (Py_ssize_t index = 0; checksums != NULL && index < buffer.len / BLOCK_BYTES; index++) {
        const unsigned char *block = (unsigned char *)buffer.buf + index * BLOCK_BYTES;
        PyObject *checksum = PyLong_FromUnsignedLong(crc32c_of_block(block, block + BLOCK_BYTES));
        if (checksum == NULL)
            Py_CLEAR(checksums);
        else
            PyList_SET_ITEM(checksums, index, checksum);
    }
    PyBuffer_Release(&buffer);
    return checksums;
}

static PyObject *crc32c(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count_arguments)
{
    if (count_arguments < 1 || count_arguments > 2)
        return PyErr_Format(PyExc_TypeError, "crc32c takes 1 or 2 arguments");
    unsigned long checksum = count_arguments == 2 ? PyLong_AsUnsignedLong(arguments[1]) : 0;
    if (PyErr_Occurred())
        return NULL;
    if (checksum > UINT32_MAX)
        return PyErr_Format(PyExc_OverflowError, "a checksum has 32 bits");
    Py_buffer buffer;
    if (PyObject_GetBuffer(arguments[0], &buffer, PyBUF_SIMPLE))
        return NULL;
    const unsigned char *bytes = buffer.buf;
    if (buffer.len < MIN_UNLOCKED_BYTES) {
        checksum = crc32c_with((uint32_t)checksum, bytes, (size_t)buffer.len);
    } else {
        Py_BEGIN_ALLOW_THREADS
        checksum = crc32c_with((uint32_t)checksum, bytes, (size_t)buffer.len);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&buffer);
    return PyLong_FromUnsignedLong(checksum);
}

static PyObject *new_reader(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *tables, *segments, *filling, *segment_type;
    int leaf_bits;
    if (!PyArg_ParseTuple(arguments, "O!O!OO!i", &PyDict_Type, &tables, &PyDict_Type, &segments, &filling, &PyType_Type,
                          &segment_type, &leaf_bits))
        return NULL;
    if ((keywords != NULL && PyDict_GET_SIZE(keywords)) || leaf_bits < 1 || leaf_bits > 10)
        return PyErr_Format(PyExc_ValueError, "a BlockReader has five arguments, and leaves of 2 to 1024 blocks");
    BlockReader *self = (BlockReader *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->tables = Py_NewRef(tables);
        self->segments = Py_NewRef(segments);
        self->filling = Py_NewRef(filling);
        self->segment_type = Py_NewRef(segment_type);
        self->leaf_bits = leaf_bits;
    }
    return (PyObject *)self;
}

static int visit_reader(BlockReader *self, visitproc visit, void *arg)
{
    Py_VISIT(self->tables);
    Py_VISIT(self->segments);
    Py_VISIT(self->filling);
    Py_VISIT(self->segment_type);
    return 0;
}

static int clear_reader(BlockReader *self)
{
    Py_CLEAR(self->tables);
    Py_CLEAR(self->segments);
    Py_CLEAR(self->filling);
    Py_CLEAR(self->segment_type);
    return 0;
}

static void free_reader(BlockReader *self)
{
    PyObject_GC_UnTrack(self);
    clear_reader(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef reader_methods[] = {
    {"read_now", (PyCFunction)(void (*)(void))read_now, METH_FASTCALL, NULL},
    {"view_now", (PyCFunction)(void (*)(void))view_now, METH_FASTCALL, NULL},
    {"gather_now", (PyCFunction)(void (*)(void))gather_now, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject reader_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "odx_target.native.compiled.BlockReader",
    .tp_basicsize = sizeof(BlockReader),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = new_reader,
    .tp_dealloc = (destructor)free_reader,
    .tp_traverse = (traverseproc)visit_reader,
    .tp_clear = (inquiry)clear_reader,
    .tp_methods = reader_methods,
};

static PyMethodDef functions[] = {
    {"block_checksums", block_checksums, METH_O, NULL},
    {"place_runs", (PyCFunction)(void (*)(void))place_runs, METH_FASTCALL, NULL},
    {"crc32c", (PyCFunction)(void (*)(void))crc32c, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

int add_block_reader(PyObject *module)
{
    if (prepare_names(names) || prepare_block_map() || prepare_block_runs())
        return -1;
    return PyModule_AddFunctions(module, functions) || PyModule_AddType(module, &reader_type) ? -1 : 0;
}
