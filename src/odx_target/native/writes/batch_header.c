/* The header of a batch of the log: `encode_header` in `store/log/batch.py`, with the same arguments. */

#include "batch_header.h"

#include <string.h>

enum { MAGIC = 0, VERSION = 8, FLAGS = 10, BLOCKS = 12, IDENTITY = 16, EPOCH = 32, SEGMENT = 40, BLOCK = 44, FIRST_OSN = 48 };
enum { DURABLE_OSN = 56, PREVIOUS_CHECKSUM = 64, COUNT_RECORDS = 68, RECORDS_BYTES = 72, DATA_BLOCKS = 76, CHECKSUM = 80 };
/* Offsets of the fields of a header. */

enum { FORMAT_VERSION = 2 };

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
static Py_ssize_t put_checksums(unsigned char *header, Py_ssize_t size, Py_ssize_t at, const HeaderFields *fields)
{
    Py_ssize_t end = at + fields->count_blocks * CHECKSUM_BYTES;
    if (end > size) {
        PyErr_SetString(PyExc_ValueError, "the checksums do not fit into the header");
        return -1;
    }
    for (Py_ssize_t index = 0; index < fields->count_blocks; index++)
        put_little(header + at + index * CHECKSUM_BYTES, fields->checksums[index], CHECKSUM_BYTES);
    put_little(header + DATA_BLOCKS, (uint64_t)fields->count_blocks, 4);
    return end;
}

Py_ssize_t fill_header(unsigned char *header, Py_ssize_t size, const HeaderFields *fields, uint32_t *checksum)
{
    memset(header, 0, HEAD_BYTES);
    memcpy(header + MAGIC, "ODXBATCH", 8);
    put_little(header + VERSION, FORMAT_VERSION, 2);
    put_little(header + FLAGS, fields->flags, 2);
    put_little(header + BLOCKS, fields->blocks, 2);
    memcpy(header + IDENTITY, fields->identity, IDENTITY_BYTES);
    put_little(header + EPOCH, fields->epoch, 8);
    put_little(header + SEGMENT, fields->segment, 4);
    put_little(header + BLOCK, fields->block, 4);
    put_little(header + FIRST_OSN, fields->first_osn, 8);
    put_little(header + DURABLE_OSN, fields->durable_osn, 8);
    put_little(header + PREVIOUS_CHECKSUM, fields->previous_checksum, 4);
    Py_ssize_t end = put_records(header, size, fields->records);
    if (end >= 0)
        end = put_checksums(header, size, end, fields);
    if (end < 0)
        return -1;
    memset(header + end, 0, (size_t)(size - end));
    *checksum = crc32c_with(0, header, (size_t)(fields->flags & SHARED ? end : size));
    put_little(header + CHECKSUM, *checksum, CHECKSUM_BYTES);
    return end;
}

/* Convert an argument for a field of `bits` bits. Returns 0 with an exception on failure. */
static uint64_t number_for(PyObject *argument, int bits)
{
    uint64_t number = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred())
        return 0;
    if (bits < 64 && number >> bits) {
        PyErr_SetString(PyExc_OverflowError, "a number is too large for its field");
        return 0;
    }
    return number;
}

/* Convert the arguments, without the checksums of the blocks. Return -1 with an exception on failure. */
static int convert(PyObject *const *arguments, HeaderFields *fields)
{
    PyObject *identity = arguments[POOL_IDENTITY_ARGUMENT];
    if (!PyBytes_Check(identity) || PyBytes_GET_SIZE(identity) != IDENTITY_BYTES) {
        PyErr_SetString(PyExc_ValueError, "an identity has 16 bytes");
        return -1;
    }
    const struct {
        uint64_t *field;
        enum Argument argument;
        int bits;
    } numbers[] = {
        {&fields->epoch, EPOCH_ARGUMENT, 64},         {&fields->segment, SEGMENT_ARGUMENT, 32},
        {&fields->block, BLOCK_ARGUMENT, 32},         {&fields->first_osn, FIRST_OSN_ARGUMENT, 64},
        {&fields->durable_osn, DURABLE_OSN_ARGUMENT, 64}, {&fields->previous_checksum, PREVIOUS_ARGUMENT, 32},
        {&fields->flags, FLAGS_ARGUMENT, 16},         {&fields->blocks, BLOCKS_ARGUMENT, 16},
    };
    for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++) {
        *numbers[index].field = number_for(arguments[numbers[index].argument], numbers[index].bits);
        if (PyErr_Occurred())
            return -1;
    }
    fields->identity = PyBytes_AS_STRING(identity);
    fields->records = arguments[RECORDS_ARGUMENT];
    if (fields->blocks >= 1 && (fields->flags & SHARED || fields->blocks <= MAX_HEADER_BLOCKS))
        return 0;
    PyErr_Format(PyExc_ValueError, "a header has 1 to %d blocks", MAX_HEADER_BLOCKS);
    return -1;
}

static PyObject *encode_header(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    HeaderFields fields;
    Py_buffer checksums;
    if (count != ARGUMENTS)
        return PyErr_Format(PyExc_TypeError, "encode_header takes %d arguments", ARGUMENTS);
    if (convert(arguments, &fields) || PyObject_GetBuffer(arguments[CHECKSUMS_ARGUMENT], &checksums, PyBUF_SIMPLE))
        return NULL;
    fields.checksums = checksums.buf;
    fields.count_blocks = checksums.len / CHECKSUM_BYTES;
    int is_shared = (fields.flags & SHARED) != 0;
    Py_ssize_t size = is_shared ? BLOCK_BYTES : (Py_ssize_t)fields.blocks * BLOCK_BYTES, end = -1;
    uint32_t checksum;
    PyObject *header = PyByteArray_FromStringAndSize(NULL, size);
    if (header != NULL)
        end = fill_header((unsigned char *)PyByteArray_AS_STRING(header), size, &fields, &checksum);
    PyBuffer_Release(&checksums);
    if (end >= 0 && !(is_shared && PyByteArray_Resize(header, end)))
        return Py_BuildValue("NI", header, checksum);
    Py_XDECREF(header);
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
