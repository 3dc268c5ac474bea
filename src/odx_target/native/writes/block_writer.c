/* Writes of usual blocks: from the checksums to the entries of the map.
 *
 * `BlockWriter.write_now` does the work of `ChangeableBlocks.write` in `store/volumes/changeable_blocks.py` for a volume without
 * listeners and without compression, if the write is usual: its blocks lie in one leaf, which belongs to the present epoch of the
 * map, and fit into the present part of the open batch. In all other cases it changes nothing and returns False. The caller then
 * writes in Python, which handles every case.
 */

#include "block_writer.h"

#include "partial_blocks.h"
#include "writable_leaf.h"

#include <string.h>

#define WRITE_BYTES 20
#define CHECKSUM_BYTES 4
#define WRITE_WORD ((WRITE_BYTES - 4) << 8 | 4)
/* These are the values of `store/log/records.py` and `store/log/batch.py`. */

typedef struct {
    PyObject_HEAD
    PyObject *filling;      /* Filling: the segment that is being filled, and the open batch */
    PyObject *require_data; /* function that raises an exception if there is no room for a number of blocks */
    PyObject *busy;         /* exception of `require_data` if the write must wait: PoolBusy */
    PyObject *tally;        /* Tally of the changed leaves */
    int leaf_bits;          /* a leaf of a map has 2^leaf_bits blocks */
} BlockWriter;

static PyTypeObject writer_type;
static PyObject *name_made, *name_due, *name_part, *name_open_for_write, *name_room_bytes, *name_next, *name_capacity, *name_segment,
    *name_number, *name_table, *name_records, *name_data, *name_count_blocks, *name_next_osn;

static const Name names[] = {
    {&name_made, "made"},         {&name_due, "due"},
    {&name_part, "_part"},        {&name_open_for_write, "_open_for_write"},
    {&name_room_bytes, "room_bytes"}, {&name_next, "_next"},
    {&name_capacity, "_capacity"}, {&name_segment, "segment"},
    {&name_number, "number"},     {&name_table, "_table"},
    {&name_records, "records"},   {&name_data, "data"},
    {&name_count_blocks, "count_blocks"}, {&name_next_osn, "next_osn"},
    {NULL, NULL},
};

/* The part of the open batch that takes a write, and the room in it. */
typedef struct {
    PyObject *part, *records, *data;
    long long next, capacity, room_bytes, segment;
} Room;

static void leave_room(Room *room)
{
    Py_CLEAR(room->part);
    Py_CLEAR(room->records);
    Py_CLEAR(room->data);
}

/* Return 1 if the log has room for a number of blocks and the map may change, 0 if the write must wait. A refusal is raised at
 * once, because the write in Python would try again what was refused, and the pool would note the refusal twice. */
static int may_write(const BlockWriter *self, Py_ssize_t count)
{
    long long made = number_of(self->tally, name_made), due = number_of(self->tally, name_due);
    PyObject *number = PyErr_Occurred() || made >= due ? NULL : PyLong_FromSsize_t(count);
    PyObject *done = number == NULL ? NULL : PyObject_CallOneArg(self->require_data, number);
    Py_XDECREF(number);
    if (done == NULL && PyErr_Occurred() && PyErr_ExceptionMatches(self->busy))
        PyErr_Clear();
    Py_XDECREF(done);
    return done != NULL;
}

/* Get the present part of the open batch. If there is none, open one for `count` blocks. Returns a new reference, or NULL with an
 * exception. */
static PyObject *present_part(PyObject *filling, Py_ssize_t count)
{
    PyObject *part = PyObject_GetAttr(filling, name_part);
    if (part != Py_None)
        return part;
    Py_DECREF(part);
    PyObject *number = PyLong_FromSsize_t(count);
    part = number == NULL ? NULL : PyObject_CallMethodOneArg(filling, name_open_for_write, number);
    Py_XDECREF(number);
    return part;
}

static long long number_of_segment(PyObject *part)
{
    PyObject *segment = PyObject_GetAttr(part, name_segment);
    long long number = segment == NULL ? -1 : number_of(segment, name_number);
    Py_XDECREF(segment);
    return number;
}

/* Find room for a write. Returns 1, or 0 if it does not fit into the part, or -1 with an exception. The caller must call `leave_room`. */
static int find_room(PyObject *filling, Py_ssize_t count, Room *room)
{
    *room = (Room){.part = present_part(filling, count)};
    if (room->part == NULL)
        return -1;
    room->next = number_of(filling, name_next);
    room->capacity = number_of(filling, name_capacity);
    room->room_bytes = number_of(room->part, name_room_bytes);
    room->segment = number_of_segment(room->part);
    room->records = PyObject_GetAttr(room->part, name_records);
    room->data = PyObject_GetAttr(room->part, name_data);
    if (PyErr_Occurred())
        return -1;
    if (!PyList_Check(room->records) || !PyList_Check(room->data))
        return 0;
    return room->room_bytes >= WRITE_BYTES + count * CHECKSUM_BYTES && room->next + count <= room->capacity;
}

/* Store the checksums of blocks in the table of the segment. Returns 1, or 0 if the table is too short, or -1 with an exception. */
static int store_checksums(PyObject *filling, long long at, const unsigned char *bytes, Py_ssize_t count)
{
    PyObject *table = PyObject_GetAttr(filling, name_table);
    Py_buffer buffer;
    if (table == NULL)
        return -1;
    int failed = PyObject_GetBuffer(table, &buffer, PyBUF_WRITABLE);
    Py_DECREF(table); /* the buffer keeps it */
    if (failed)
        return -1;
    int fits = at >= 0 && at + count <= buffer.len / CHECKSUM_BYTES;
    for (Py_ssize_t index = 0; fits && index < count; index++)
        ((uint32_t *)buffer.buf)[at + index] = crc32c_of_block(bytes + index * BLOCK_BYTES, bytes + (index + 1) * BLOCK_BYTES);
    PyBuffer_Release(&buffer);
    return fits;
}

/* Encode a Write record. Returns NULL with an exception on failure. */
static PyObject *encode_write(PyObject *volume, uint64_t block, Py_ssize_t count)
{
    unsigned char bytes[WRITE_BYTES];
    put_little(bytes, WRITE_WORD, 4);
    put_little(bytes + 4, PyLong_AsUnsignedLong(volume), 4);
    put_little(bytes + 8, block, 8);
    put_little(bytes + 16, (uint64_t)count, 4);
    return PyErr_Occurred() ? NULL : PyBytes_FromStringAndSize((char *)bytes, WRITE_BYTES);
}

/* Add the record and the data of a write to the part. Returns -1 with an exception on failure, after which nothing has changed. */
static int add_record(const Room *room, PyObject *record, PyObject *view)
{
    if (PyList_Append(room->records, record))
        return -1;
    if (PyList_Append(room->data, view) == 0)
        return 0;
    Py_ssize_t last = PyList_GET_SIZE(room->records) - 1;
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    (void)PyList_SetSlice(room->records, last, last + 1, NULL); /* removal cannot fail */
    PyErr_Restore(type, error, traceback);
    return -1;
}

/* Return an attribute that is a number plus another number, or NULL with an exception. */
static PyObject *sum_of(PyObject *object, PyObject *name, long long added)
{
    long long number = number_of(object, name);
    return PyErr_Occurred() ? NULL : PyLong_FromLongLong(number + added);
}

/* Count a write in the part and in the filling, after its record and its data were added. All objects are made before the first
 * change, so nothing has changed after a failure. Returns -1 with an exception on failure. */
static int count_write(PyObject *filling, const Room *room, PyObject *record, PyObject *view, Py_ssize_t count)
{
    const struct {
        PyObject *object, *name;
        long long added;
    } counted[] = {
        {filling, name_next, count},
        {filling, name_next_osn, 1},
        {room->part, name_count_blocks, count},
        {room->part, name_room_bytes, -(WRITE_BYTES + count * CHECKSUM_BYTES)},
    };
    enum { COUNTED = sizeof counted / sizeof *counted };
    PyObject *sums[COUNTED] = {NULL};
    int failed = 0;
    for (int index = 0; index < COUNTED && !failed; index++)
        failed = (sums[index] = sum_of(counted[index].object, counted[index].name, counted[index].added)) == NULL;
    failed = failed || add_record(room, record, view);
    for (int index = 0; index < COUNTED; index++) {
        if (!failed)
            failed = PyObject_SetAttr(counted[index].object, counted[index].name, sums[index]);
        Py_XDECREF(sums[index]);
    }
    return failed ? -1 : 0;
}

/* Write blocks into the part. Returns as `write_blocks` does. */
static int fill_part(const BlockWriter *self, const Room *room, PyObject *leaf, PyObject *record, Py_ssize_t index, PyObject *view,
                     const unsigned char *bytes, Py_ssize_t count)
{
    int stored = store_checksums(self->filling, room->next, bytes, count);
    if (stored <= 0)
        return stored;
    if (count_write(self->filling, room, record, view, count))
        return -1;
    uint64_t place = (uint64_t)room->segment << PLACE_BITS | (uint64_t)room->next;
    return assign_entries(leaf, self->leaf_bits, index, place, count) ? -1 : 1;
}

int is_block_writer(PyObject *object)
{
    return Py_IS_TYPE(object, &writer_type);
}

int write_blocks(PyObject *writer, PyObject *block_map, PyObject *volume, uint64_t block, PyObject *view, const unsigned char *bytes,
                 Py_ssize_t count)
{
    const BlockWriter *self = (BlockWriter *)writer;
    Py_ssize_t leaf_blocks = (Py_ssize_t)1 << self->leaf_bits, index = (Py_ssize_t)(block & (uint64_t)(leaf_blocks - 1));
    if (index + count > leaf_blocks || count == leaf_blocks || !is_below_end(block_map, block, count))
        return PyErr_Occurred() ? -1 : 0;
    if (!may_write(self, count))
        return PyErr_Occurred() ? -1 : 0;
    PyObject *leaf = writable_leaf(block_map, (long long)block, self->leaf_bits);
    if (leaf == NULL)
        return PyErr_Occurred() ? -1 : 0;
    Room room;
    int found = find_room(self->filling, count, &room);
    if (found > 0) {
        PyObject *record = encode_write(volume, block, count);
        found = record == NULL ? -1 : fill_part(self, &room, leaf, record, index, view, bytes, count);
        Py_XDECREF(record);
    }
    leave_room(&room);
    Py_DECREF(leaf);
    return found;
}

/* write_now(block_map, volume, block, data) -> True if the data was written, False if the write is not usual */
static PyObject *write_now(PyObject *self, PyObject *const *arguments, Py_ssize_t count_arguments)
{
    if (count_arguments != 4)
        return PyErr_Format(PyExc_TypeError, "write_now takes 4 arguments");
    int overflow;
    long long block = PyLong_AsLongLongAndOverflow(arguments[2], &overflow);
    Py_buffer buffer;
    if (PyErr_Occurred() || PyObject_GetBuffer(arguments[3], &buffer, PyBUF_SIMPLE))
        return NULL;
    int written = 0;
    if (block >= 0 && !overflow && buffer.len > 0 && buffer.len % BLOCK_BYTES == 0)
        written = write_blocks(self, arguments[0], arguments[1], (uint64_t)block, arguments[3], buffer.buf, buffer.len / BLOCK_BYTES);
    PyBuffer_Release(&buffer);
    return written < 0 ? NULL : PyBool_FromLong(written);
}

static PyObject *new_writer(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *filling, *require_data, *busy, *tally;
    int leaf_bits;
    if (!PyArg_ParseTuple(arguments, "OOOOi", &filling, &require_data, &busy, &tally, &leaf_bits))
        return NULL;
    if (!PyExceptionClass_Check(busy))
        return PyErr_Format(PyExc_TypeError, "the third argument of a BlockWriter is the exception of writes that must wait");
    if ((keywords != NULL && PyDict_GET_SIZE(keywords)) || leaf_bits < 1 || leaf_bits > 10)
        return PyErr_Format(PyExc_ValueError, "a BlockWriter has five arguments, and leaves of 2 to 1024 blocks");
    BlockWriter *self = (BlockWriter *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->filling = Py_NewRef(filling);
        self->require_data = Py_NewRef(require_data);
        self->busy = Py_NewRef(busy);
        self->tally = Py_NewRef(tally);
        self->leaf_bits = leaf_bits;
    }
    return (PyObject *)self;
}

static int visit_writer(BlockWriter *self, visitproc visit, void *arg)
{
    Py_VISIT(self->filling);
    Py_VISIT(self->require_data);
    Py_VISIT(self->busy);
    Py_VISIT(self->tally);
    return 0;
}

static int clear_writer(BlockWriter *self)
{
    Py_CLEAR(self->filling);
    Py_CLEAR(self->require_data);
    Py_CLEAR(self->busy);
    Py_CLEAR(self->tally);
    return 0;
}

static void free_writer(BlockWriter *self)
{
    PyObject_GC_UnTrack(self);
    clear_writer(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef writer_methods[] = {
    {"write_bytes_now", (PyCFunction)(void (*)(void))write_bytes_now, METH_FASTCALL, NULL},
    {"write_now", (PyCFunction)(void (*)(void))write_now, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject writer_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "odx_target.native.compiled.BlockWriter",
    .tp_basicsize = sizeof(BlockWriter),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = new_writer,
    .tp_dealloc = (destructor)free_writer,
    .tp_traverse = (traverseproc)visit_writer,
    .tp_clear = (inquiry)clear_writer,
    .tp_methods = writer_methods,
};

int add_block_writer(PyObject *module)
{
    return prepare_names(names) || prepare_writable_leaf() || prepare_partial_blocks() || PyModule_AddType(module, &writer_type) ? -1 : 0;
}
