#include "open_batch.h"

static PyObject *name_parts, *name_failure, *name_is_stalled, *name_header, *name_block, *name_header_blocks,
    *name_slot, *name_count_blocks, *name_first_osn, *name_segment, *name_number, *name_mapping, *name_table,
    *name_records, *name_data, *name_pool_identity, *name_epoch, *name_durable_osn, *name_checksum;

static const Name names[] = {
    {&name_parts, "parts"},
    {&name_failure, "failure"},
    {&name_is_stalled, "is_stalled"},
    {&name_header, "header"},
    {&name_block, "block"},
    {&name_header_blocks, "header_blocks"},
    {&name_slot, "slot"},
    {&name_count_blocks, "count_blocks"},
    {&name_first_osn, "first_osn"},
    {&name_segment, "segment"},
    {&name_number, "number"},
    {&name_mapping, "mapping"},
    {&name_table, "table"},
    {&name_records, "records"},
    {&name_data, "data"},
    {&name_pool_identity, "_pool_identity"},
    {&name_epoch, "_epoch"},
    {&name_durable_osn, "durable_osn"},
    {&name_checksum, "_checksum"},
    {NULL, NULL},
};

int prepare_open_batch(void)
{
    return prepare_names(names);
}

void leave_batch(Batch *batch)
{
    if (batch->table.obj != NULL)
        PyBuffer_Release(&batch->table);
    Py_XDECREF(batch->parts);
    Py_XDECREF(batch->segment);
    Py_XDECREF(batch->mapping);
    Py_XDECREF(batch->data);
    Py_XDECREF(batch->identity);
    Py_XDECREF(batch->records);
}

int has(PyObject *object, PyObject *name, PyObject *wanted)
{
    PyObject *found = PyObject_GetAttr(object, name);
    Py_XDECREF(found); /* the object keeps it, or it is a constant */
    return found == NULL ? -1 : found == wanted;
}

/* Find the mapping of the segment, the data, and the checksums of the blocks. Returns as `find_batch` does. */
static int find_data(Batch *batch)
{
    PyObject *table = NULL;
    batch->mapping = PyObject_GetAttr(batch->segment, name_mapping);
    if (batch->mapping == NULL) { /* The segment is no file. */
        if (PyErr_ExceptionMatches(PyExc_AttributeError))
            PyErr_Clear();
        return PyErr_Occurred() ? -1 : 0;
    }
    if (!is_mapping(batch->mapping))
        return 0;
    batch->data = PyObject_GetAttr(batch->part, name_data);
    batch->records = PyObject_GetAttr(batch->part, name_records);
    batch->fields.count_blocks = (Py_ssize_t)unsigned_of(batch->part, name_count_blocks);
    if (!PyErr_Occurred())
        table = PyObject_GetAttr(batch->part, name_table);
    int failed = table == NULL || PyObject_GetBuffer(table, &batch->table, PyBUF_SIMPLE);
    Py_XDECREF(table); /* the buffer keeps it */
    if (failed)
        return -1;
    uint64_t first = batch->first_block + batch->header_blocks, length = (uint64_t)batch->table.len / CHECKSUM_BYTES;
    if (!PyList_Check(batch->data) || first > length || (uint64_t)batch->fields.count_blocks > length - first)
        return 0;
    batch->fields.checksums = (const uint32_t *)batch->table.buf + first;
    return 1;
}

int find_batch(const Log *log, Batch *batch)
{
    int is_sound = has(log->health, name_failure, Py_None);
    if (is_sound > 0)
        is_sound = has(log->unwritten, name_is_stalled, Py_False);
    if (is_sound <= 0)
        return is_sound;
    batch->parts = PyObject_GetAttr(log->filling, name_parts);
    if (batch->parts == NULL)
        return -1;
    if (!PyList_Check(batch->parts) || PyList_GET_SIZE(batch->parts) != 1)
        return 0;
    batch->part = PyList_GET_ITEM(batch->parts, 0);
    int is_new = has(batch->part, name_header, Py_None);
    if (is_new <= 0)
        return is_new;
    batch->slot = unsigned_of(batch->part, name_slot);
    batch->first_block = unsigned_of(batch->part, name_block);
    batch->header_blocks = unsigned_of(batch->part, name_header_blocks);
    batch->segment = PyObject_GetAttr(batch->part, name_segment);
    if (PyErr_Occurred())
        return -1;
    return batch->header_blocks == (batch->slot == 0) ? find_data(batch) : 0;
}

int encode_batch(const Log *log, Batch *batch, unsigned char header[BLOCK_BYTES])
{
    HeaderFields *fields = &batch->fields;
    batch->identity = PyObject_GetAttr(log->chain, name_pool_identity);
    fields->epoch = unsigned_of(log->chain, name_epoch);
    fields->previous_checksum = unsigned_of(log->chain, name_checksum);
    fields->durable_osn = unsigned_of(log->flusher, name_durable_osn);
    fields->first_osn = unsigned_of(batch->part, name_first_osn);
    fields->segment = unsigned_of(batch->segment, name_number);
    if (PyErr_Occurred())
        return -1;
    if (!PyBytes_Check(batch->identity) || PyBytes_GET_SIZE(batch->identity) != IDENTITY_BYTES) {
        PyErr_SetString(PyExc_ValueError, "an identity has 16 bytes");
        return -1;
    }
    fields->identity = PyBytes_AS_STRING(batch->identity);
    fields->records = batch->records;
    fields->block = batch->slot == 0 ? batch->first_block : batch->slot / BLOCK_BYTES;
    fields->flags = batch->slot == 0 ? 0 : SHARED;
    fields->blocks = batch->slot == 0 ? 1 : batch->first_block - fields->block;
    batch->header_bytes = fill_header(header, BLOCK_BYTES - (Py_ssize_t)(batch->slot % BLOCK_BYTES), fields, &batch->checksum);
    return batch->header_bytes < 0 ? -1 : 1;
}
