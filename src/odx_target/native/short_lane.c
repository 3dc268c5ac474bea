/* The loop of the short lane: `execute_usual` in `target/server/short_lane.py`, with the same conditions in the same order. */

#include "lane_digests.h"
#include "lane_unit.h"
#include "native.h"
#include "short_lane.h"
#include "transfer_command.h"

enum { KIND_READ, KIND_WRITE, KINDS };

typedef struct {
    PyObject *lane, *state, *window, *writer, *active, *output, *tally, *view; /* `lane` and `view` are borrowed */
    const unsigned char *bytes;
    Py_ssize_t size, at;
    uint32_t exp_cmd_sn, open_places, stat_sn;
    uint64_t counts[KINDS], sizes[KINDS];
    DigestSizes digests;
    Unit of;
} Loop;

enum Outcome { FAILED = -1, LEFT, EXECUTED, ENDED_BY_EXCEPTION };

static PyObject *name_window, *name_writer, *name_active, *name_output, *name_tally, *name_exp_cmd_sn, *name_max_cmd_sn,
    *name_stat_sn, *name_counts, *name_sizes, *name_end_failed, *name_state, *name_held, *name_events, *name_takes_more;

static const Name names[] = {
    {&name_window, "window"},         {&name_writer, "writer"},         {&name_active, "active"},
    {&name_output, "output"},         {&name_tally, "_tally"},          {&name_exp_cmd_sn, "exp_cmd_sn"},
    {&name_max_cmd_sn, "max_cmd_sn"}, {&name_stat_sn, "stat_sn"},       {&name_counts, "counts"},
    {&name_sizes, "sizes"},           {&name_end_failed, "_end_failed"}, {&name_state, "_state"},
    {&name_held, "held"},             {&name_events, "events"},         {&name_takes_more, "takes_more"},
    {NULL, NULL},
};

/* Return 1 if a task tag belongs to an active task, 0 if not, or -1 with an exception on failure. */
static int is_active(Loop *loop, uint32_t tag)
{
    if (PyDict_GET_SIZE(loop->active) == 0)
        return 0;
    PyObject *key = PyLong_FromUnsignedLong(tag);
    int active = key == NULL ? -1 : PyDict_Contains(loop->active, key);
    Py_XDECREF(key);
    return active;
}

/* Return the position after the PDU of the next command. */
static uint64_t end_of(const Loop *loop, uint64_t data_bytes)
{
    uint64_t start = (uint64_t)(loop->at + HEADER_BYTES + loop->digests.header);
    return data_bytes == 0 ? start : start + data_bytes + (uint64_t)loop->digests.data;
}

/* Return 1 if a command for the present logical unit is usual, 0 if not, or -1 with an exception on failure. */
static int is_usual(Loop *loop, const TransferCommand *command, uint64_t size_bytes)
{
    Unit *of = &loop->of;
    uint64_t data_bytes = is_write(command) ? size_bytes : 0;
    if (command->cmd_sn != loop->exp_cmd_sn || command->tag == NO_TAG || command->others)
        return 0;
    if (command->lba > of->capacity_blocks || command->blocks > of->capacity_blocks - command->lba
        || size_bytes != command->expected || size_bytes == 0)
        return 0;
    if (data_bytes != command->lengths || end_of(loop, data_bytes) > (uint64_t)loop->size
        || (command->kind & ~(uint32_t)SIMPLE) != (is_write(command) ? WRITES : READS))
        return 0;
    int found = is_short(loop->lane, of, is_write(command), size_bytes);
    if (found <= 0)
        return found;
    int active = is_active(loop, command->tag);
    return active ? (active < 0 ? -1 : 0)
                  : digests_match(&loop->digests, loop->bytes + loop->at, HEADER_BYTES, (Py_ssize_t)data_bytes);
}

/* Add the header of the reply to the output, and then the data of a read, whose CRC32C may be known. Returns -1 with an exception on
 * failure. */
static int add_reply(Loop *loop, const TransferCommand *command, uint32_t data_bytes, PyObject *data, const uint32_t *checksum)
{
    Py_ssize_t first = PyList_GET_SIZE(loop->output);
    PyObject *header = PyBytes_FromStringAndSize(NULL, HEADER_BYTES + loop->digests.header);
    if (header == NULL)
        return -1;
    unsigned char *bytes = (unsigned char *)PyBytes_AS_STRING(header);
    put_reply_header(bytes, command, data_bytes, loop->stat_sn, loop->open_places);
    if (loop->digests.header)
        put_digest(bytes + HEADER_BYTES, crc32c_with(0, bytes, HEADER_BYTES));
    int failed = PyList_Append(loop->output, header);
    Py_DECREF(header);
    if (!failed && data != NULL)
        failed = add_data_segment(loop->output, &loop->digests, data, checksum);
    if (failed) {
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        (void)PyList_SetSlice(loop->output, first, PyList_GET_SIZE(loop->output), NULL); /* removal cannot fail */
        PyErr_Restore(type, error, traceback);
    }
    return failed ? -1 : 0;
}

static PyObject *read_in_python(const Unit *of, const TransferCommand *command)
{
    PyObject *count = PyLong_FromUnsignedLong(command->blocks), *data = transfer_in_python(of, 0, command->lba, count);
    Py_XDECREF(count);
    return data;
}

static enum Outcome execute_read(Loop *loop, const TransferCommand *command, uint32_t size_bytes)
{
    uint32_t checksum = 0;
    /* The checksums of whole blocks give the digest. Otherwise the data is read once more, which must not be done with a view. */
    const int has_checksum = loop->digests.data && has_whole_blocks(&loop->of, command->lba, size_bytes);
    const int takes_views = !loop->digests.data || has_checksum;
    PyObject *data = read_natively(&loop->of, command->lba, size_bytes, takes_views, has_checksum ? &checksum : NULL);
    const uint32_t *known = has_checksum ? &checksum : NULL;
    if (data == Py_None) {
        Py_SETREF(data, read_in_python(&loop->of, command));
        known = NULL;
    }
    enum Outcome outcome = EXECUTED;
    if (data == Py_None)
        outcome = LEFT;
    else if (data == NULL || add_reply(loop, command, size_bytes, data, known))
        outcome = ENDED_BY_EXCEPTION;
    Py_XDECREF(data);
    return outcome;
}

/* Write with the function of the logical blocks. Returns as `write_natively` does; 0 means that the write would have to wait. */
static int write_in_python(const Unit *of, uint64_t lba, PyObject *view)
{
    PyObject *buffers = PyTuple_Pack(1, view), *written = transfer_in_python(of, 1, lba, buffers);
    Py_XDECREF(buffers);
    int is_done = written == NULL ? -1 : PyObject_IsTrue(written);
    Py_XDECREF(written);
    return is_done;
}

/* Write data. Returns 1, or 0 if the write would have to wait, or -1 with an exception. */
static int write_data(Loop *loop, const TransferCommand *command, Py_ssize_t start, Py_ssize_t end)
{
    int is_done = command->fua ? flushes_at_once(&loop->of) : 1;
    PyObject *view = is_done > 0 ? part_of_view(loop->view, start, end) : NULL;
    if (view == NULL)
        return is_done > 0 ? -1 : is_done;
    is_done = write_natively(&loop->of, command->lba, view, loop->bytes + start, (uint64_t)(end - start));
    if (is_done == 0)
        is_done = write_in_python(&loop->of, command->lba, view);
    Py_DECREF(view);
    if (is_done > 0 && command->fua && flush_at_commit(&loop->of))
        return -1;
    return is_done;
}

static enum Outcome execute_write(Loop *loop, const TransferCommand *command, Py_ssize_t end)
{
    Py_ssize_t start = loop->at + HEADER_BYTES + loop->digests.header;
    int is_done = write_data(loop, command, start, end - loop->digests.data);
    if (is_done <= 0)
        return is_done < 0 ? ENDED_BY_EXCEPTION : LEFT;
    return add_reply(loop, command, 0, NULL, NULL) ? ENDED_BY_EXCEPTION : EXECUTED;
}

/* Execute the next command if it is usual. `*end` becomes the position after its PDU. */
static enum Outcome execute_next(Loop *loop, Py_ssize_t *end)
{
    TransferCommand command;
    if (!decode_transfer(loop->bytes + loop->at, &command))
        return LEFT;
    if (loop->of.unit == NULL) {
        int usual = turn_to_unit(loop->lane, command.lun, &loop->of);
        if (usual <= 0)
            return usual < 0 ? FAILED : LEFT;
    } else if (command.lun != loop->of.lun) {
        return LEFT;
    }
    uint64_t size_bytes = command.blocks * loop->of.block_bytes;
    int usual = is_usual(loop, &command, size_bytes);
    if (usual <= 0)
        return usual < 0 ? FAILED : LEFT;
    *end = (Py_ssize_t)end_of(loop, is_write(&command) ? size_bytes : 0);
    enum Outcome outcome =
        is_write(&command) ? execute_write(loop, &command, *end) : execute_read(loop, &command, (uint32_t)size_bytes);
    if (outcome != EXECUTED)
        return outcome;
    int kind = is_write(&command) ? KIND_WRITE : KIND_READ;
    loop->exp_cmd_sn = command.cmd_sn + 1;
    loop->stat_sn++;
    loop->counts[kind]++;
    loop->sizes[kind] += size_bytes;
    loop->at = *end;
    return EXECUTED;
}

/* Store the numbers of the session and the counts of the executed commands. */
static int store_numbers(Loop *loop)
{
    PyObject *counts = PyObject_GetAttr(loop->tally, name_counts), *sizes = PyObject_GetAttr(loop->tally, name_sizes);
    int failed = counts == NULL || sizes == NULL || !PyList_Check(counts) || !PyList_Check(sizes);
    for (int kind = 0; !failed && kind < KINDS; kind++)
        if (loop->counts[kind] != 0)
            failed = add_to_item(counts, kind, loop->counts[kind]) || add_to_item(sizes, kind, loop->sizes[kind]);
    Py_XDECREF(counts);
    Py_XDECREF(sizes);
    return failed || set_number(loop->window, name_exp_cmd_sn, loop->exp_cmd_sn)
                   || set_number(loop->window, name_max_cmd_sn, loop->exp_cmd_sn + loop->open_places)
                   || set_number(loop->writer, name_stat_sn, loop->stat_sn)
               ? -1
               : 0;
}

/* Send the reply to a command that the present exception has ended, unless the exception must end the connection. */
static int end_failed(Loop *loop, Py_ssize_t end)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return -1;
    PyObject *error = take_exception();
    PyObject *pdu = part_of_view(loop->view, loop->at, end), *done = NULL;
    if (pdu != NULL)
        done = PyObject_CallMethodObjArgs(loop->lane, name_end_failed, pdu, loop->of.unit, error, NULL);
    Py_XDECREF(pdu);
    Py_XDECREF(done);
    Py_DECREF(error);
    loop->at = end;
    return done == NULL ? -1 : 0;
}

/* Return 1 if the session has a place for another command. Commands whose replies are held give no place back. */
static int has_place(const Loop *loop)
{
    return loop->counts[KIND_READ] + loop->counts[KIND_WRITE] < (uint32_t)(loop->open_places + 1);
}

/* Execute the usual commands of one logical unit. Returns -1 with an exception on failure. */
static int execute_all(Loop *loop, uint64_t max_read_bytes)
{
    enum Outcome outcome = EXECUTED;
    Py_ssize_t end = 0;
    while (outcome == EXECUTED && loop->size - loop->at >= HEADER_BYTES + loop->digests.header && loop->sizes[KIND_READ] < max_read_bytes
           && has_place(loop))
        outcome = execute_next(loop, &end);
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    if (store_numbers(loop)) {
        Py_XDECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(traceback);
        return -1;
    }
    PyErr_Restore(type, error, traceback);
    return outcome == FAILED ? -1 : outcome == ENDED_BY_EXCEPTION ? end_failed(loop, end) : 0;
}

/* Get the objects of the lane. Returns -1 with an exception on failure. */
static int begin(Loop *loop)
{
    PyObject *state = loop->state = PyObject_GetAttr(loop->lane, name_state);
    if (state == NULL)
        return -1;
    loop->window = PyObject_GetAttr(state, name_window);
    loop->writer = PyObject_GetAttr(state, name_writer);
    loop->active = PyObject_GetAttr(state, name_active);
    loop->tally = PyObject_GetAttr(loop->lane, name_tally);
    if (!loop->window || !loop->writer || !loop->active || !loop->tally)
        return -1;
    loop->output = PyObject_GetAttr(loop->writer, name_output);
    loop->exp_cmd_sn = (uint32_t)unsigned_of(loop->window, name_exp_cmd_sn);
    loop->open_places = (uint32_t)unsigned_of(loop->window, name_max_cmd_sn) - loop->exp_cmd_sn;
    loop->stat_sn = (uint32_t)unsigned_of(loop->writer, name_stat_sn);
    if (PyErr_Occurred() || find_digests(loop->writer, &loop->digests))
        return -1;
    if (!PyDict_Check(loop->active) || !PyList_Check(loop->output)) {
        PyErr_SetString(PyExc_TypeError, "a lane needs a dict of tasks and a list of output");
        return -1;
    }
    return 0;
}

static void end(Loop *loop)
{
    Py_XDECREF(loop->state);
    Py_XDECREF(loop->window);
    Py_XDECREF(loop->writer);
    Py_XDECREF(loop->active);
    Py_XDECREF(loop->output);
    Py_XDECREF(loop->tally);
    leave_unit(&loop->of);
}

/* Do the same as `ShortLane._is_anything_unusual`. Returns -1 with an exception on failure. */
static int is_anything_unusual(const Loop *loop)
{
    if (loop->open_places == UINT32_MAX) /* The window is closed. */
        return 1;
    int unusual = truth_of(loop->window, name_held);
    if (unusual == 0)
        unusual = truth_of(loop->state, name_events);
    if (unusual == 0) {
        int takes_more = truth_of(loop->writer, name_takes_more);
        unusual = takes_more < 0 ? -1 : !takes_more;
    }
    return unusual;
}

/* Execute usual commands of one logical unit, from `received->at` on. If `checks_session` is 1, execute none if anything is unusual in the
 * session. Returns -1 with an exception on failure. */
static int execute(PyObject *lane, Received *received, uint64_t enough_bytes, uint64_t *read_bytes, int checks_session)
{
    Loop loop = {.lane = lane, .view = received->view, .bytes = received->bytes, .size = received->size, .at = received->at};
    int failed = begin(&loop);
    int unusual = !failed && checks_session ? is_anything_unusual(&loop) : 0;
    if (!failed && unusual == 0)
        failed = execute_all(&loop, enough_bytes);
    end(&loop);
    received->at = loop.at;
    *read_bytes = loop.sizes[KIND_READ];
    return failed || unusual < 0 ? -1 : 0;
}

int run_usual(PyObject *lane, Received *received, uint64_t enough_bytes, uint64_t *read_bytes)
{
    Py_ssize_t start;
    *read_bytes = 0;
    do {
        uint64_t more_bytes = 0;
        start = received->at;
        if (execute(lane, received, enough_bytes - *read_bytes, &more_bytes, 1))
            return -1;
        *read_bytes += more_bytes;
    } while (received->at > start && received->size - received->at >= HEADER_BYTES && *read_bytes < enough_bytes);
    return 0;
}

/* execute_usual(lane, view, at, enough_bytes) -> position after the executed commands, number of bytes of read data */
static PyObject *execute_usual(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 4)
        return PyErr_Format(PyExc_TypeError, "execute_usual takes 4 arguments");
    Received received = {.view = arguments[1], .at = PyLong_AsSsize_t(arguments[2])};
    uint64_t enough_bytes = PyLong_AsUnsignedLongLong(arguments[3]), read_bytes = 0;
    Py_buffer buffer;
    if (PyErr_Occurred() || PyObject_GetBuffer(received.view, &buffer, PyBUF_SIMPLE))
        return NULL;
    received.bytes = buffer.buf;
    received.size = buffer.len;
    int failed = received.at < 0 || received.at > received.size;
    if (failed)
        PyErr_SetString(PyExc_ValueError, "the position is outside the view");
    failed = failed || execute(arguments[0], &received, enough_bytes, &read_bytes, 0);
    PyBuffer_Release(&buffer);
    return failed ? NULL : Py_BuildValue("nK", received.at, (unsigned long long)read_bytes);
}

static PyMethodDef functions[] = {
    {"execute_usual", (PyCFunction)(void (*)(void))execute_usual, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

int add_short_lane(PyObject *module)
{
    return prepare_names(names) || prepare_lane_unit() || prepare_lane_digests() || PyModule_AddFunctions(module, functions) ? -1 : 0;
}
