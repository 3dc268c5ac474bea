/* The commit of a usual open batch: from its header to the counters of the log.
 *
 * `BatchWriter.commit_now` does the work of `Log._write_open_batch` in `store/log/writer.py` if the batch is usual: it has one part, with at
 * most one header block, its segment is mapped and writable, and no batch has failed before. In all other cases it changes nothing and
 * returns False. It also returns False if a page of the mapping is missing. The header is then kept in the part, and Python writes the
 * same header and the data again, because the next header must contain the checksum of this one.
 */

#include "open_batch.h"

#include <string.h>

typedef struct {
    PyObject_HEAD
    Log of;
} BatchWriter;

#define NOTHING_PENDING ((uint64_t)1 << 62)
#define SLOT_BYTES 64
#define MIN_SHARED_BYTES 108
/* These are the values of `store/log/filling.py` and `store/log/shared_headers.py`. */

static PyTypeObject batch_writer_type;
static PyObject *name_filling, *name_chain, *name_flusher, *name_health, *name_unwritten, *name_parts, *name_header,
    *name_header_blocks, *name_segment, *name_data, *name_checksum, *name_last, *name_dirty, *name_count_writes,
    *name_shares_headers, *name_shared_room_bytes, *name_own_slot, *name_part, *name_pending_place, *name_data_blocks,
    *name_written_blocks;

static const Name names[] = {
    {&name_filling, "filling"},
    {&name_chain, "chain"},
    {&name_flusher, "_flusher"},
    {&name_health, "_health"},
    {&name_unwritten, "unwritten"},
    {&name_parts, "parts"},
    {&name_header, "header"},
    {&name_header_blocks, "header_blocks"},
    {&name_segment, "segment"},
    {&name_data, "data"},
    {&name_checksum, "_checksum"},
    {&name_last, "_last"},
    {&name_dirty, "dirty"},
    {&name_count_writes, "_count_writes"},
    {&name_shares_headers, "_shares_headers"},
    {&name_shared_room_bytes, "_shared_room_bytes"},
    {&name_own_slot, "_slot"},
    {&name_part, "_part"},
    {&name_pending_place, "pending_place"},
    {&name_data_blocks, "data_blocks"},
    {&name_written_blocks, "written_blocks"},
    {NULL, NULL},
};

/* Copy the data to the mapping, and then the header, because a shared header is written last. Returns 1, or 0 if a page is missing, or -1
 * with an exception. */
static int copy(const Batch *batch, const unsigned char *header)
{
    uint64_t start = (batch->first_block + batch->header_blocks) * BLOCK_BYTES;
    int copied = write_mapped(batch->mapping, start, batch->data);
    if (copied <= 0)
        return copied;
    if (batch->slot != 0)
        return write_bytes_mapped(batch->mapping, batch->slot, header, (size_t)batch->header_bytes);
    return write_bytes_mapped(batch->mapping, batch->first_block * BLOCK_BYTES, header, BLOCK_BYTES);
}

/* A number that an attribute gets. */
typedef struct {
    PyObject *object, *name;
    uint64_t number;
} Change;

/* Set attributes. All objects are made before the first change, so nothing has changed after a failure. Returns -1 with an exception on
 * failure. */
static int set_all(const Change *changes, int count)
{
    enum { MOST = 10 };
    PyObject *numbers[MOST] = {NULL};
    int failed = count > MOST;
    for (int index = 0; index < count && !failed; index++)
        failed = (numbers[index] = PyLong_FromUnsignedLongLong(changes[index].number)) == NULL;
    for (int index = 0; index < count && !failed; index++)
        failed = PyObject_SetAttr(changes[index].object, changes[index].name, numbers[index]);
    for (int index = 0; index < MOST; index++)
        Py_XDECREF(numbers[index]);
    return failed ? -1 : 0;
}

/* Keep the header for the write in Python. Returns 0, or -1 with an exception. */
static int keep_header(const Log *log, const Batch *batch, const unsigned char *header)
{
    Py_ssize_t size = batch->slot == 0 ? BLOCK_BYTES : batch->header_bytes;
    PyObject *kept = PyByteArray_FromStringAndSize((const char *)header, size);
    const Change change = {log->chain, name_checksum, batch->checksum};
    int failed = kept == NULL || set_all(&change, 1) || PyObject_SetAttr(log->chain, name_last, batch->part)
                 || PyObject_SetAttr(batch->part, name_header, kept);
    Py_XDECREF(kept);
    return failed ? -1 : 0;
}

/* Return the offset at which the next shared header may begin, or 0: `slot_after` in `store/log/shared_headers.py`. */
static uint64_t slot_after(uint64_t end)
{
    uint64_t slot = (end + SLOT_BYTES - 1) / SLOT_BYTES * SLOT_BYTES;
    return -slot % BLOCK_BYTES >= MIN_SHARED_BYTES ? slot : 0;
}

/* Count the written batch, and end it: `Filling.end_batch`, and the last lines of `Log._write_open_batch`. Returns 1, or -1 with an
 * exception. All that may need memory comes before the first change of the chain, so the next commit writes the same batch again. */
static int end_batch(const Log *log, const Batch *batch)
{
    PyObject *empty = PyList_New(0), *none_left = PyList_New(0), *dirty = PyObject_GetAttr(log->flusher, name_dirty);
    int shares = has(log->filling, name_shares_headers, Py_True), is_last = has(log->filling, name_segment, batch->segment);
    uint64_t next_slot = slot_after((batch->slot != 0 ? batch->slot : batch->first_block * BLOCK_BYTES) + (uint64_t)batch->header_bytes);
    uint64_t room = next_slot == 0 ? 0 : -next_slot % BLOCK_BYTES, count = (uint64_t)batch->fields.count_blocks;
    int takes_more = shares > 0 && is_last > 0 && room >= (uint64_t)batch->header_bytes;
    const Change changes[] = {
        {log->chain, name_checksum, batch->checksum},
        {batch->segment, name_count_writes, unsigned_of(batch->segment, name_count_writes) + 1},
        {log->filling, name_shared_room_bytes, takes_more ? room - HEAD_BYTES : 0},
        {log->filling, name_pending_place, NOTHING_PENDING},
        {log->log, name_header_blocks, unsigned_of(log->log, name_header_blocks) + batch->header_blocks},
        {log->log, name_data_blocks, unsigned_of(log->log, name_data_blocks) + count},
        {log->log, name_written_blocks, unsigned_of(log->log, name_written_blocks) + batch->header_blocks + count},
        {log->filling, name_own_slot, next_slot},
    };
    int count_changes = (int)(sizeof changes / sizeof *changes) - !(shares > 0 && is_last > 0); /* the slot is the last one */
    int failed = empty == NULL || none_left == NULL || dirty == NULL || PyErr_Occurred() || PySet_Add(dirty, batch->segment)
                 || set_all(changes, count_changes) || PyObject_SetAttr(log->chain, name_last, batch->part)
                 || PyObject_SetAttr(log->filling, name_part, Py_None) || PyObject_SetAttr(log->filling, name_parts, none_left)
                 || PyObject_SetAttr(batch->part, name_data, empty);
    Py_XDECREF(empty);
    Py_XDECREF(none_left);
    Py_XDECREF(dirty);
    return failed ? -1 : 1;
}

/* commit_now() -> True if the open batch was written, False if it is not usual */
static PyObject *commit_now(PyObject *object, PyObject *Py_UNUSED(none))
{
    const Log *log = &((BatchWriter *)object)->of;
    Batch batch = {0};
    unsigned char header[BLOCK_BYTES];
    int written = find_batch(log, &batch);
    if (written > 0)
        written = encode_batch(log, &batch, header);
    if (written > 0) {
        int copied = copy(&batch, header);
        written = copied > 0 ? end_batch(log, &batch) : copied == 0 ? keep_header(log, &batch, header) : -1;
    }
    leave_batch(&batch);
    return written < 0 ? NULL : PyBool_FromLong(written);
}

static int visit_writer(BatchWriter *self, visitproc visit, void *arg)
{
    Py_VISIT(self->of.log);
    Py_VISIT(self->of.filling);
    Py_VISIT(self->of.chain);
    Py_VISIT(self->of.flusher);
    Py_VISIT(self->of.health);
    Py_VISIT(self->of.unwritten);
    return 0;
}

static int clear_writer(BatchWriter *self)
{
    Py_CLEAR(self->of.log);
    Py_CLEAR(self->of.filling);
    Py_CLEAR(self->of.chain);
    Py_CLEAR(self->of.flusher);
    Py_CLEAR(self->of.health);
    Py_CLEAR(self->of.unwritten);
    return 0;
}

static void free_writer(BatchWriter *self)
{
    PyObject_GC_UnTrack(self);
    clear_writer(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *new_writer(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *log;
    if (!PyArg_ParseTuple(arguments, "O", &log))
        return NULL;
    if (keywords != NULL && PyDict_GET_SIZE(keywords))
        return PyErr_Format(PyExc_ValueError, "a BatchWriter has no keywords");
    BatchWriter *self = (BatchWriter *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->of.log = Py_NewRef(log);
    self->of.filling = PyObject_GetAttr(log, name_filling);
    self->of.chain = self->of.filling == NULL ? NULL : PyObject_GetAttr(log, name_chain);
    self->of.flusher = self->of.chain == NULL ? NULL : PyObject_GetAttr(log, name_flusher);
    self->of.health = self->of.flusher == NULL ? NULL : PyObject_GetAttr(log, name_health);
    self->of.unwritten = self->of.health == NULL ? NULL : PyObject_GetAttr(log, name_unwritten);
    if (self->of.unwritten == NULL)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"commit_now", commit_now, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject batch_writer_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "odx_target.native.compiled.BatchWriter",
    .tp_basicsize = sizeof(BatchWriter),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = new_writer,
    .tp_dealloc = (destructor)free_writer,
    .tp_traverse = (traverseproc)visit_writer,
    .tp_clear = (inquiry)clear_writer,
    .tp_methods = methods,
};

int add_batch_writer(PyObject *module)
{
    return prepare_names(names) || prepare_open_batch() || PyModule_AddType(module, &batch_writer_type) ? -1 : 0;
}
