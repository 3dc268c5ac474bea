/* The header of a batch of the log: `encode_header` in `store/log/batch.py`, with the same arguments. */

#include "native.h"

#include <string.h>

#define IDENTITY_BYTES 16
#define CHECKSUM_BYTES 4
#define MAX_HEADER_BLOCKS 32

enum { MAGIC = 0, VERSION = 8, FLAGS = 10, BLOCKS = 12, IDENTITY = 16, EPOCH = 32, SEGMENT = 40, BLOCK = 44, FIRST_OSN = 48 };
enum { DURABLE_OSN = 56, PREVIOUS_CHECKSUM = 64, COUNT_RECORDS = 68, RECORDS_BYTES = 72, DATA_BLOCKS = 76, CHECKSUM = 80, HEAD_BYTES = 84 };
/* Offsets of the fields of a header. */

enum { FORMAT_VERSION = 2, SHARED = 2 };

enum Argument {
    POOL_IDENTITY_ARGUMENT,
    EPOCH_ARGUMENT,
    SEGMENT_ARGUMENT,
    BLOCK_ARGUMENT,
    FIRST_OSN_ARGUMENT,
    DURABLE_OSN_ARGUMENT,
    PREVIOUS_ARGUMENT,
    FLAGS_ARGUMENT,
    RECORDS_ARGUMENT,
    CHECKSUMS_ARGUMENT,
    BLOCKS_ARGUMENT,
    ARGUMENTS
};

static const struct {
    enum Argument argument;
    int offset, size;
} numbers[] = {
    {EPOCH_ARGUMENT, EPOCH, 8},       {SEGMENT_ARGUMENT, SEGMENT, 4},         {BLOCK_ARGUMENT, BLOCK, 4},
    {FIRST_OSN_ARGUMENT, FIRST_OSN, 8}, {DURABLE_OSN_ARGUMENT, DURABLE_OSN, 8}, {PREVIOUS_ARGUMENT, PREVIOUS_CHECKSUM, 4},
    {FLAGS_ARGUMENT, FLAGS, 2},       {BLOCKS_ARGUMENT, BLOCKS, 2},
};

/* Fill in the fields that are arguments. Return -1 with an exception on failure. */
static int put_arguments(unsigned char *header, PyObject *const *arguments)
{
    for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++) {
        uint64_t number = PyLong_AsUnsignedLongLong(arguments[numbers[index].argument]);
        if (PyErr_Occurred())
            return -1;
        if (numbers[index].size < 8 && number >> 8 * numbers[index].size) {
            PyErr_SetString(PyExc_OverflowError, "a number is too large for its field");
            return -1;
        }
        put_little(header + numbers[index].offset, number, numbers[index].size);
    }
    PyObject *identity = arguments[POOL_IDENTITY_ARGUMENT];
    if (!PyBytes_Check(identity) || PyBytes_GET_SIZE(identity) != IDENTITY_BYTES) {
        PyErr_SetString(PyExc_ValueError, "an identity has 16 bytes");
        return -1;
    }
    memcpy(header + IDENTITY, PyBytes_AS_STRING(identity), IDENTITY_BYTES);
    return 0;
}

/* Fill in the records, one after the other. Return the offset after them, or -1 with an exception. */
static Py_ssize_t put_records(unsigned char *header, Py_ssize_t size, PyObject *records)
{
    Py_ssize_t at = HEAD_BYTES;
    if (!PyList_Check(records)) {
        PyErr_SetString(PyExc_TypeError, "the records are a list");
        return -1;
    }
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(records); index++) {
        PyObject *record = PyList_GET_ITEM(records, index);
        if (!PyBytes_Check(record) || PyBytes_GET_SIZE(record) > size - at) {
            PyErr_SetString(PyExc_ValueError, "the records do not fit into the header");
            return -1;
        }
        memcpy(header + at, PyBytes_AS_STRING(record), (size_t)PyBytes_GET_SIZE(record));
        at += PyBytes_GET_SIZE(record);
    }
    put_little(header + COUNT_RECORDS, (uint64_t)PyList_GET_SIZE(records), 4);
    put_little(header + RECORDS_BYTES, (uint64_t)(at - HEAD_BYTES), 4);
    return at;
}

/* Fill in the checksums of the data blocks. Return the offset after them, or -1 with an exception. */
static Py_ssize_t put_checksums(unsigned char *header, Py_ssize_t size, Py_ssize_t at, PyObject *checksums)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(checksums, &buffer, PyBUF_SIMPLE))
        return -1;
    Py_ssize_t count = buffer.len / CHECKSUM_BYTES, end = at + count * CHECKSUM_BYTES;
    const uint32_t *numbers_of_blocks = buffer.buf;
    if (end > size) {
        PyErr_SetString(PyExc_ValueError, "the checksums do not fit into the header");
        end = -1;
    }
    for (Py_ssize_t index = 0; end >= 0 && index < count; index++)
        put_little(header + at + index * CHECKSUM_BYTES, numbers_of_blocks[index], CHECKSUM_BYTES);
    put_little(header + DATA_BLOCKS, (uint64_t)count, 4);
    PyBuffer_Release(&buffer);
    return end;
}

/* Fill in the whole header, which has `size` bytes. Return the offset after its last field, or -1 with an exception. Without an
 * exception, the checksum is stored in `checksum`. */
static Py_ssize_t fill_header(unsigned char *header, Py_ssize_t size, PyObject *const *arguments, int is_shared, uint32_t *checksum)
{
    memset(header, 0, HEAD_BYTES);
    memcpy(header + MAGIC, "ODXBATCH", 8);
    put_little(header + VERSION, FORMAT_VERSION, 2);
    if (put_arguments(header, arguments))
        return -1;
    Py_ssize_t end = put_records(header, size, arguments[RECORDS_ARGUMENT]);
    if (end >= 0)
        end = put_checksums(header, size, end, arguments[CHECKSUMS_ARGUMENT]);
    if (end < 0)
        return -1;
    memset(header + end, 0, (size_t)(size - end));
    *checksum = crc32c_with(0, header, (size_t)(is_shared ? end : size));
    put_little(header + CHECKSUM, *checksum, CHECKSUM_BYTES);
    return end;
}

static PyObject *encode_header(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (count != ARGUMENTS)
        return PyErr_Format(PyExc_TypeError, "encode_header takes %d arguments", ARGUMENTS);
    long flags = PyLong_AsLong(arguments[FLAGS_ARGUMENT]);
    Py_ssize_t blocks = PyErr_Occurred() ? -1 : PyLong_AsSsize_t(arguments[BLOCKS_ARGUMENT]);
    if (PyErr_Occurred())
        return NULL;
    int is_shared = (flags & SHARED) != 0;
    if (blocks < 1 || (!is_shared && blocks > MAX_HEADER_BLOCKS))
        return PyErr_Format(PyExc_ValueError, "a header has 1 to %d blocks", MAX_HEADER_BLOCKS);
    Py_ssize_t size = is_shared ? BLOCK_BYTES : blocks * BLOCK_BYTES;
    PyObject *header = PyByteArray_FromStringAndSize(NULL, size);
    if (header == NULL)
        return NULL;
    uint32_t checksum;
    Py_ssize_t end = fill_header((unsigned char *)PyByteArray_AS_STRING(header), size, arguments, is_shared, &checksum);
    if (end >= 0 && !(is_shared && PyByteArray_Resize(header, end)))
        return Py_BuildValue("NI", header, checksum);
    Py_DECREF(header);
    return NULL;
}

static PyMethodDef functions[] = {
    {"encode_header", (PyCFunction)(void (*)(void))encode_header, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

int add_batch_header(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
