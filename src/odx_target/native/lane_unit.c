#include "lane_unit.h"

#include "writes/block_writer.h"
#include "writes/partial_blocks.h"

static PyObject *name_usual_unit, *name_max_read_bytes, *name_max_write_bytes, *name_capacity_blocks, *name_block_bytes, *name_blocks, *name_read_now,
    *name_write_now, *name_volume, *name_native_reads, *name_native_writes, *name_pool, *name_flushes_at_once,
    *name_flush_at_commit;

static const Name names[] = {
    {&name_usual_unit, "_usual_unit"},  {&name_max_read_bytes, "_max_read_bytes"},
    {&name_max_write_bytes, "_max_write_bytes"}, {&name_capacity_blocks, "capacity_blocks"},
    {&name_block_bytes, "block_bytes"}, {&name_blocks, "blocks"},        {&name_read_now, "read_now"},
    {&name_write_now, "write_now"},     {&name_volume, "volume"},        {&name_native_reads, "native_reads"},
    {&name_native_writes, "native_writes"}, {&name_pool, "pool"}, {&name_flushes_at_once, "flushes_at_once"},
    {&name_flush_at_commit, "flush_at_commit"}, {NULL, NULL},
};

int prepare_lane_unit(void)
{
    return prepare_names(names);
}

int turn_to_unit(PyObject *lane, uint64_t lun_field, Unit *of)
{
    PyObject *field = PyLong_FromUnsignedLongLong(lun_field), *blocks;
    if (field == NULL)
        return -1;
    of->unit = PyObject_CallMethodOneArg(lane, name_usual_unit, field);
    Py_DECREF(field);
    if (of->unit == NULL || of->unit == Py_None)
        return of->unit == NULL ? -1 : 0;
    of->lun = lun_field;
    of->capacity_blocks = unsigned_of(of->unit, name_capacity_blocks);
    of->block_bytes = unsigned_of(of->unit, name_block_bytes);
    if (PyErr_Occurred() || (blocks = PyObject_GetAttr(of->unit, name_blocks)) == NULL)
        return -1;
    of->max_read_bytes = of->max_write_bytes = NOT_ASKED;
    PyObject *volume = PyObject_GetAttr(blocks, name_volume);
    of->native_reads = volume == NULL ? NULL : PyObject_GetAttr(volume, name_native_reads);
    Py_XDECREF(volume);
    of->blocks = blocks;
    return of->native_reads == NULL ? -1 : 1;
}

int is_short(PyObject *lane, Unit *of, int is_write, uint64_t size_bytes)
{
    uint64_t *max_bytes = is_write ? &of->max_write_bytes : &of->max_read_bytes;
    if (*max_bytes == NOT_ASKED) {
        PyObject *found = PyObject_CallMethodOneArg(lane, is_write ? name_max_write_bytes : name_max_read_bytes, of->unit);
        *max_bytes = found == NULL ? NOT_ASKED : PyLong_AsUnsignedLongLong(found);
        Py_XDECREF(found);
        if (PyErr_Occurred())
            return -1;
    }
    return size_bytes <= *max_bytes;
}

void leave_unit(Unit *of)
{
    Py_CLEAR(of->unit);
    Py_CLEAR(of->blocks);
    Py_CLEAR(of->native_reads);
    Py_CLEAR(of->native_writes);
}

int has_whole_blocks(const Unit *of, uint64_t lba, uint32_t size_bytes)
{
    return lba * of->block_bytes % BLOCK_BYTES == 0 && size_bytes % BLOCK_BYTES == 0;
}

/* Return the native reader of a unit, as a borrowed reference, or NULL if there is none. */
static PyObject *reader_of(const Unit *of)
{
    PyObject *reads = of->native_reads;
    int has_reader = PyTuple_Check(reads) && PyTuple_GET_SIZE(reads) == 2 && is_block_reader(PyTuple_GET_ITEM(reads, 0));
    return has_reader ? PyTuple_GET_ITEM(reads, 0) : NULL;
}

PyObject *read_natively(const Unit *of, uint64_t lba, uint32_t size_bytes, int takes_views, uint32_t *checksum)
{
    PyObject *reader = reader_of(of);
    if (reader == NULL)
        return Py_NewRef(Py_None);
    PyObject *block_map = PyTuple_GET_ITEM(of->native_reads, 1);
    uint64_t offset = lba * of->block_bytes;
    PyObject *data = takes_views ? view_bytes(reader, block_map, offset, size_bytes, checksum) : Py_NewRef(Py_None);
    if (data == Py_None)
        Py_SETREF(data, read_bytes(reader, block_map, offset, size_bytes, checksum));
    return data;
}

PyObject *transfer_in_python(const Unit *of, int is_write, uint64_t lba, PyObject *argument)
{
    PyObject *first = PyLong_FromUnsignedLongLong(lba), *done = NULL;
    if (first != NULL && argument != NULL)
        done = PyObject_CallMethodObjArgs(of->blocks, is_write ? name_write_now : name_read_now, first, argument, NULL);
    Py_XDECREF(first);
    return done;
}

int flushes_at_once(const Unit *of)
{
    return truth_of(of->unit, name_flushes_at_once);
}

int flush_at_commit(const Unit *of)
{
    PyObject *pool = PyObject_GetAttr(of->unit, name_pool), *done = NULL;
    if (pool != NULL)
        done = PyObject_CallMethodNoArgs(pool, name_flush_at_commit);
    Py_XDECREF(pool);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int write_natively(Unit *of, uint64_t lba, PyObject *view, const unsigned char *bytes, uint64_t size_bytes)
{
    if (of->native_writes == NULL && (of->native_writes = PyObject_GetAttr(of->blocks, name_native_writes)) == NULL)
        return -1;
    PyObject *writes = of->native_writes;
    uint64_t offset = lba * of->block_bytes;
    if (!PyTuple_Check(writes) || PyTuple_GET_SIZE(writes) != 3 || !is_block_writer(PyTuple_GET_ITEM(writes, 0)))
        return 0;
    PyObject *writer = PyTuple_GET_ITEM(writes, 0), *block_map = PyTuple_GET_ITEM(writes, 1), *volume = PyTuple_GET_ITEM(writes, 2);
    if (offset % BLOCK_BYTES == 0 && size_bytes % BLOCK_BYTES == 0)
        return write_blocks(writer, block_map, volume, offset / BLOCK_BYTES, view, bytes, (Py_ssize_t)(size_bytes / BLOCK_BYTES));
    PyObject *reader = reader_of(of);
    return reader == NULL ? 0 : write_part_of_blocks(writer, reader, block_map, volume, offset, bytes, size_bytes);
}
