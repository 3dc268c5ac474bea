/* Reads of usual blocks without waiting, and checksums of the blocks of a write.
 *
 * `BlockReader.read_now` does the work of `Readable.read_now` in `store/volumes/sources.py` if all blocks are usual: their places
 * are in memory, they are plain blocks of committed batches, and their segments are files whose descriptors are open. In all
 * other cases, and if a checksum differs, it returns None. The caller then reads the blocks in Python, which handles every case.
 *
 * The function keeps the lock of the interpreter from the look-up of a descriptor to the end of the read. So no thread closes the
 * descriptor meanwhile.
 */

#include "native.h"

#include <sys/uio.h>

#define COMPRESSED ((uint64_t)1 << 53)
#define PLACE_BITS 14
#define BLOCK_MASK (((uint64_t)1 << PLACE_BITS) - 1)
/* These are the values of `store/segments/places.py`. */

typedef struct {
    PyObject_HEAD
    PyObject *tables;       /* dict: number of a segment -> array of the checksums of its blocks */
    PyObject *segments;     /* dict: number of a segment -> segment */
    PyObject *filling;      /* `pending_place`: first place that is not committed */
    PyObject *segment_type; /* type of the segments that are files */
    int leaf_bits;          /* a leaf of a map has 2^leaf_bits blocks */
} BlockReader;

static PyObject *name_pending_place, *name_descriptor, *name_read_flags;

/* Return the descriptor of a segment, or -1 if a read of the segment may have to wait. Its flags for reads are `*flags`. */
static int descriptor_of(BlockReader *self, long long number, int *flags)
{
    PyObject *segment = item_of(self->segments, number);
    int descriptor = -1;
    if (segment != NULL && (PyObject *)Py_TYPE(segment) == self->segment_type) {
        descriptor = (int)number_of(segment, name_descriptor);
        *flags = (int)number_of(segment, name_read_flags);
        if (*flags < 0)
            descriptor = -1;
    }
    Py_XDECREF(segment);
    return descriptor;
}

/* Return 1 if blocks match the checksums from index `at` of a table on, and 0 if not, or -1 on failure. */
static int match(BlockReader *self, long long number, Py_ssize_t at, const unsigned char *bytes, Py_ssize_t count)
{
    PyObject *table = item_of(self->tables, number);
    if (table == NULL)
        return PyErr_Occurred() ? -1 : 0;
    Py_buffer buffer;
    int failed = PyObject_GetBuffer(table, &buffer, PyBUF_SIMPLE);
    Py_DECREF(table); /* the buffer keeps it */
    if (failed)
        return -1;
    const uint32_t *checksums = buffer.buf;
    int matching = at + count <= buffer.len / (Py_ssize_t)sizeof(uint32_t);
    for (Py_ssize_t index = 0; matching && index < count; index++)
        matching = crc32c_of_block(bytes + index * BLOCK_BYTES) == checksums[at + index];
    PyBuffer_Release(&buffer);
    return matching;
}

/* Read a run of blocks and check it. Returns 1, or 0 if the run is not usual, or -1 on failure. */
static int read_run(BlockReader *self, uint64_t place, Py_ssize_t count, unsigned char *bytes)
{
    long long pending_place = number_of(self->filling, name_pending_place);
    if (pending_place < 0)
        return PyErr_Occurred() ? -1 : 0;
    if (place == 0 || place >= COMPRESSED || place + (uint64_t)count > (uint64_t)pending_place)
        return 0;
    long long number = (long long)(place >> PLACE_BITS);
    Py_ssize_t at = (Py_ssize_t)(place & BLOCK_MASK);
    int flags = 0, descriptor = descriptor_of(self, number, &flags);
    if (descriptor < 0)
        return PyErr_Occurred() ? -1 : 0;
    struct iovec part = {bytes, (size_t)(count * BLOCK_BYTES)};
    if (preadv2(descriptor, &part, 1, (off_t)at * BLOCK_BYTES, flags) != (ssize_t)part.iov_len)
        return 0;
    return match(self, number, at, bytes, count);
}

static PyObject *read_now(BlockReader *self, PyObject *const *arguments, Py_ssize_t count_arguments)
{
    if (count_arguments != 3)
        return PyErr_Format(PyExc_TypeError, "read_now takes 3 arguments");
    long long block = PyLong_AsLongLong(arguments[1]);
    Py_ssize_t count = PyLong_AsSsize_t(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    if (block < 0 || count < 1 || count > PY_SSIZE_T_MAX / BLOCK_BYTES)
        return PyErr_Format(PyExc_ValueError, "no such range of blocks");
    PyObject *content = PyByteArray_FromStringAndSize(NULL, count * BLOCK_BYTES);
    if (content == NULL)
        return NULL;
    unsigned char *bytes = (unsigned char *)PyByteArray_AS_STRING(content);
    for (Py_ssize_t done = 0; done < count;) {
        uint64_t place = 0;
        Py_ssize_t run = run_at(arguments[0], block + done, self->leaf_bits, count - done, &place);
        int found = run <= 0 ? (int)run : read_run(self, place, run, bytes + done * BLOCK_BYTES);
        if (found <= 0) {
            Py_DECREF(content);
            return found < 0 ? NULL : Py_NewRef(Py_None);
        }
        done += run;
    }
    return content;
}

static PyObject *block_checksums(PyObject *Py_UNUSED(module), PyObject *data)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE))
        return NULL;
    PyObject *checksums = PyList_New(buffer.len / BLOCK_BYTES);
    for (Py_ssize_t index = 0; checksums != NULL && index < buffer.len / BLOCK_BYTES; index++) {
        PyObject *checksum = PyLong_FromUnsignedLong(crc32c_of_block((unsigned char *)buffer.buf + index * BLOCK_BYTES));
        if (checksum == NULL)
            Py_CLEAR(checksums);
        else
            PyList_SET_ITEM(checksums, index, checksum);
    }
    PyBuffer_Release(&buffer);
    return checksums;
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
    {NULL, NULL, 0, NULL},
};

int add_block_reader(PyObject *module)
{
    name_pending_place = PyUnicode_InternFromString("pending_place");
    name_descriptor = PyUnicode_InternFromString("descriptor");
    name_read_flags = PyUnicode_InternFromString("read_flags");
    if (!name_pending_place || !name_descriptor || !name_read_flags || prepare_block_map())
        return -1;
    return PyModule_AddFunctions(module, functions) || PyModule_AddType(module, &reader_type) ? -1 : 0;
}
