/* A connection as the hub serves it, with one call for a whole pass: receive bytes, execute their usual commands, send the replies.
 *
 * `receive_now` and `send_now` replace the methods of `ReceiveLoop` in `target/server/receive_loop.py`, and do the same. They leave all that
 * is unusual to the ReceiveLoop:
 *
 *     The session has not begun, or its bytes are traced or filtered: the ReceiveLoop receives.
 *     The buffer has bytes of an earlier pass, or is still that of the login: the ReceiveLoop receives.
 *     The lane leaves some of the received bytes, such as a PDU whose rest has not arrived at once: the ReceiveLoop executes the rest.
 *     The socket has not accepted all bytes, earlier output or a reply waits, or the connection is being closed: the ReceiveLoop sends.
 *
 * A reply must not be sent before the changes that it acknowledges or shows are committed. So `receive_now` sends the replies itself only if
 * no batch is open, which is so if all commands since the last commit were reads. Otherwise the hub commits, and then calls `send_now`.
 *
 * The bytes belong to the ReceiveBuffer, and the replies to the list of the PduWriter. This file uses both only within a call. */

#include "native.h"
#include "passes/batch_tally.h"
#include "passes/socket_calls.h"
#include "short_lane.h"

#include <errno.h>

typedef struct {
    PyObject_HEAD
    PyObject *loop;      /* ReceiveLoop */
    PyObject *received;  /* ReceiveBuffer */
    PyObject *protocol, *timers, *writer; /* TargetConnection, ConnectionTimers, PduWriter */
    PyObject *executor, *unhandled, *tally; /* CommandExecutor, its deque of events, BatchTally */
    PyObject *sender, *unsent, *pool; /* ResponseSender, deque of buffers of its queue, Pool */
    PyObject *clock;
    int descriptor;
    Py_ssize_t min_buffer_bytes;       /* smallest size of the buffer of a session */
    unsigned long long early_send_bytes; /* `EARLY_SEND_BYTES` of `response_sender.py` */
} DirectMember;

#define REFERENCES(of)                                                                                                                      \
    {                                                                                                                                       \
        &(of)->loop, &(of)->received, &(of)->protocol, &(of)->timers, &(of)->writer, &(of)->executor, &(of)->unhandled, &(of)->tally,       \
            &(of)->sender, &(of)->unsent, &(of)->pool, &(of)->clock                                                                         \
    }

enum Sending { SENDING_FAILED = -1, LEFT_TO_PYTHON, SENT };

static PyObject *name_is_stopped, *name_uses_lane, *name_lane, *name_memory, *name_start, *name_end, *name_closed, *name_on_commit, *name_held,
    *name_has_uncommitted, *name_output, *name_answer_bytes, *name_takes_more, *name_last_received, *name_receive_now, *name_send_now,
    *name_peer_has_closed, *name_failed, *name_has_sent_part, *name_execute_rest, *name_is_paused, *name_began_s, *name_fail;

static const Name names[] = {
    {&name_is_stopped, "_is_stopped"},       {&name_uses_lane, "_uses_lane"},
    {&name_lane, "lane"},                    {&name_memory, "memory"},
    {&name_start, "start"},                  {&name_end, "end"},
    {&name_closed, "closed"},                {&name_on_commit, "on_commit"},
    {&name_held, "_held"},                   {&name_has_uncommitted, "has_uncommitted"},
    {&name_output, "output"},                {&name_answer_bytes, "_answer_bytes"},
    {&name_takes_more, "takes_more"},        {&name_last_received, "last_received"},
    {&name_receive_now, "receive_now"},      {&name_send_now, "send_now"},
    {&name_peer_has_closed, "peer_has_closed"}, {&name_failed, "failed"},
    {&name_has_sent_part, "has_sent_part"},  {&name_execute_rest, "execute_rest"},
    {&name_is_paused, "_is_paused"},         {&name_began_s, "began_s"},
    {&name_fail, "fail"},
    {NULL, NULL},
};

/* Return the lane of the session as a new reference, or NULL if this connection has none now, or with an exception. */
static PyObject *lane_of(DirectMember *self)
{
    int is_left = truth_of(self->loop, name_is_stopped);
    if (is_left == 0)
        is_left = 1 - truth_of(self->loop, name_uses_lane);
    PyObject *lane = is_left == 0 && !PyErr_Occurred() ? PyObject_GetAttr(self->executor, name_lane) : NULL;
    if (lane == Py_None)
        Py_CLEAR(lane);
    return lane;
}

/* Return 1 if the buffer is large enough for a session, 0 if not, or -1 with an exception. */
static int has_session_buffer(DirectMember *self)
{
    PyObject *memory = PyObject_GetAttr(self->received, name_memory);
    Py_ssize_t size = memory == NULL ? -1 : PyObject_Size(memory);
    Py_XDECREF(memory);
    return size < 0 ? -1 : size >= self->min_buffer_bytes;
}

/* Get the whole buffer. Return 1, or 0 if it has bytes or is too small for a session, or -1 with an exception. The caller must release
 * `room` if it has an object. */
static int open_room(DirectMember *self, Py_buffer *room)
{
    PyObject *memory = PyObject_GetAttr(self->received, name_memory);
    int failed = memory == NULL || PyObject_GetBuffer(memory, room, PyBUF_WRITABLE);
    Py_XDECREF(memory); /* the buffer keeps it */
    if (failed || room->len < self->min_buffer_bytes)
        return failed ? -1 : 0;
    long long start = number_of(self->received, name_start), end = number_of(self->received, name_end);
    return PyErr_Occurred() ? -1 : start == end;
}

/* End the connection because of the present exception. Return -1 if the exception concerns all connections, or no Exception. */
static int end_connection(DirectMember *self)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return -1;
    PyObject *error = take_exception();
    PyObject *done = PyObject_CallMethodOneArg(self->loop, name_failed, error);
    Py_DECREF(error);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Return 1 if all output may be sent now without the ReceiveLoop, 0 if not, or -1 with an exception. */
static int may_send(DirectMember *self)
{
    int waits = truth_of(self->pool, name_has_uncommitted);
    if (waits == 0)
        waits = PyObject_IsTrue(self->unsent);
    if (waits == 0)
        waits = PyObject_IsTrue(self->unhandled);
    if (waits == 0)
        waits = truth_of(self->sender, name_held);
    if (waits == 0)
        waits = truth_of(self->sender, name_on_commit);
    if (waits == 0)
        waits = truth_of(self->protocol, name_closed);
    if (waits == 0)
        waits = truth_of(self->loop, name_is_paused);
    return waits < 0 ? -1 : !waits;
}

/* Empty the output after all of it was sent, as `TargetConnection.take_output` does. */
static int empty_output(DirectMember *self, PyObject *output)
{
    return PyList_SetSlice(output, 0, PyList_GET_SIZE(output), NULL) || set_number(self->writer, name_answer_bytes, 0)
           || PyObject_SetAttr(self->writer, name_takes_more, Py_True);
}

/* Pass the output to the sender, after the socket has accepted `sent_bytes` of it, or has raised the present exception. */
static enum Sending keep_rest(DirectMember *self, Py_ssize_t sent_bytes, uint64_t read_bytes)
{
    if (sent_bytes < 0 && !PyErr_ExceptionMatches(PyExc_OSError))
        return SENDING_FAILED;
    PyObject *error = sent_bytes < 0 ? take_exception() : Py_NewRef(Py_None);
    PyObject *sent = PyLong_FromSsize_t(sent_bytes < 0 ? 0 : sent_bytes), *read = PyLong_FromUnsignedLongLong(read_bytes), *done = NULL;
    if (sent != NULL && read != NULL)
        done = PyObject_CallMethodObjArgs(self->sender, name_has_sent_part, sent, read, error, NULL);
    Py_XDECREF(sent);
    Py_XDECREF(read);
    Py_DECREF(error);
    Py_XDECREF(done);
    return done == NULL ? SENDING_FAILED : LEFT_TO_PYTHON;
}

/* Send all output with one call. `*unsent_bytes` is the size of the data of small reads in it, and becomes 0 if the output is sent, or
 * has become the output of the sender. */
static enum Sending send_output(DirectMember *self, uint64_t *unsent_bytes)
{
    int may = may_send(self);
    if (may <= 0)
        return may < 0 ? SENDING_FAILED : LEFT_TO_PYTHON;
    PyObject *output = PyObject_GetAttr(self->writer, name_output);
    enum Sending sending = output == NULL ? SENDING_FAILED : LEFT_TO_PYTHON;
    if (output != NULL && PyList_CheckExact(output) && PyList_GET_SIZE(output) <= MAX_PIECES) {
        Py_ssize_t size = 0, sent = PyList_GET_SIZE(output) == 0 ? 0 : send_buffers(self->descriptor, output, &size);
        if (sent == size)
            sending = empty_output(self, output) ? SENDING_FAILED : SENT;
        else
            sending = keep_rest(self, sent, *unsent_bytes);
        *unsent_bytes = 0;
    }
    Py_XDECREF(output);
    return sending;
}

/* Make the ReceiveLoop execute the bytes that the lane has left. `unsent_bytes` is that of `send_output`. */
static PyObject *execute_rest(DirectMember *self, const Received *got, uint64_t unsent_bytes)
{
    PyObject *start = PyLong_FromSsize_t(got->at), *end = PyLong_FromSsize_t(got->size), *unsent = PyLong_FromUnsignedLongLong(unsent_bytes);
    PyObject *done = NULL;
    if (start != NULL && end != NULL && unsent != NULL)
        done = PyObject_CallMethodObjArgs(self->loop, name_execute_rest, start, end, unsent, NULL);
    Py_XDECREF(start);
    Py_XDECREF(end);
    Py_XDECREF(unsent);
    Py_XDECREF(done);
    return done == NULL ? NULL : Py_NewRef(Py_True);
}

/* Note the time at which the batch begins, at which the peer is alive. */
static int begin_batch(DirectMember *self)
{
    PyObject *now_s = PyObject_CallNoArgs(self->clock);
    int failed = now_s == NULL || PyObject_SetAttr(self->tally, name_began_s, now_s)
                 || PyObject_SetAttr(self->timers, name_last_received, now_s);
    Py_XDECREF(now_s);
    return failed ? -1 : 0;
}

/* Execute received bytes, and send the replies if this is possible before a commit. Return an answer as `receive_now` does. */
static PyObject *execute(DirectMember *self, PyObject *lane, Received *got)
{
    enum Sending sending = LEFT_TO_PYTHON;
    if (begin_batch(self))
        return NULL;
    while (got->at < got->size) {
        uint64_t unsent_bytes;
        sending = LEFT_TO_PYTHON;
        if (run_usual(lane, got, self->early_send_bytes, &unsent_bytes))
            return NULL;
        if (got->at == got->size || unsent_bytes >= self->early_send_bytes)
            sending = send_output(self, &unsent_bytes);
        if (sending == SENDING_FAILED)
            return NULL;
        if (got->at < got->size && (sending != SENT || unsent_bytes > 0))
            return execute_rest(self, got, unsent_bytes);
    }
    if (sending == SENT && end_batch(self->tally))
        return NULL;
    return Py_NewRef(sending == SENT ? Py_False : Py_True);
}

/* Receive into the whole buffer, and execute the commands. Return an answer as `receive_now` does. */
static PyObject *receive_into(DirectMember *self, PyObject *lane, const Py_buffer *room)
{
    /* `obj` of the buffer of a memoryview is this memoryview. */
    Received got = {.view = room->obj, .bytes = room->buf, .at = 0};
    got.size = receive_bytes(self->descriptor, room->buf, (size_t)room->len);
    if (got.size > 0) {
        got.size = receive_rest(self->descriptor, room->buf, got.size, room->len);
        return execute(self, lane, &got);
    }
    if (got.size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        Py_RETURN_FALSE;
    if (got.size < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *done = PyObject_CallMethodNoArgs(self->loop, name_peer_has_closed);
    Py_XDECREF(done);
    return done == NULL ? NULL : Py_NewRef(Py_False);
}

/* receive_now() -> True if the hub must call `send_now` */
static PyObject *receive_now(DirectMember *self, PyObject *Py_UNUSED(none))
{
    Py_buffer room = {.obj = NULL};
    PyObject *answer = NULL, *lane = lane_of(self);
    int is_usual = lane == NULL ? 0 : open_room(self, &room);
    if (is_usual > 0)
        answer = receive_into(self, lane, &room);
    else if (is_usual == 0 && !PyErr_Occurred())
        answer = PyObject_CallMethodNoArgs(self->loop, name_receive_now);
    if (room.obj != NULL)
        PyBuffer_Release(&room);
    Py_XDECREF(lane);
    if (answer == NULL)
        answer = end_connection(self) ? NULL : Py_NewRef(Py_False);
    return answer;
}

/* send_now() */
static PyObject *send_now(DirectMember *self, PyObject *Py_UNUSED(none))
{
    enum Sending sending = LEFT_TO_PYTHON;
    uint64_t unsent_bytes = 0;
    PyObject *lane = lane_of(self), *answer = NULL;
    int is_usual = lane == NULL ? 0 : has_session_buffer(self);
    Py_XDECREF(lane);
    if (is_usual > 0)
        sending = send_output(self, &unsent_bytes);
    if (sending == SENT)
        answer = end_batch(self->tally) ? NULL : Py_NewRef(Py_None);
    else if (sending == LEFT_TO_PYTHON && !PyErr_Occurred())
        answer = PyObject_CallMethodNoArgs(self->loop, name_send_now);
    if (answer == NULL)
        answer = end_connection(self) ? NULL : Py_NewRef(Py_None);
    return answer;
}

/* fail(error) */
static PyObject *fail(DirectMember *self, PyObject *error)
{
    return PyObject_CallMethodOneArg(self->loop, name_fail, error);
}

static PyObject *new_member(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    DirectMember of = {.descriptor = -1};
    if (keywords != NULL && PyDict_GET_SIZE(keywords))
        return PyErr_Format(PyExc_TypeError, "a DirectMember takes no keyword arguments");
    if (!PyArg_ParseTuple(arguments, "OOOOOOOOOOOOinK", &of.loop, &of.received, &of.protocol, &of.timers, &of.writer, &of.executor,
                          &of.unhandled, &of.tally, &of.sender, &of.unsent, &of.pool, &of.clock, &of.descriptor, &of.min_buffer_bytes,
                          &of.early_send_bytes))
        return NULL;
    DirectMember *self = (DirectMember *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    PyObject **const mine[] = REFERENCES(self), **const given[] = REFERENCES(&of);
    for (size_t index = 0; index < sizeof mine / sizeof *mine; index++)
        *mine[index] = Py_NewRef(*given[index]);
    self->descriptor = of.descriptor;
    self->min_buffer_bytes = of.min_buffer_bytes;
    self->early_send_bytes = of.early_send_bytes;
    return (PyObject *)self;
}

static int visit_member(DirectMember *self, visitproc visit, void *arg)
{
    PyObject **const mine[] = REFERENCES(self);
    for (size_t index = 0; index < sizeof mine / sizeof *mine; index++)
        Py_VISIT(*mine[index]);
    return 0;
}

static int clear_member(DirectMember *self)
{
    PyObject **const mine[] = REFERENCES(self);
    for (size_t index = 0; index < sizeof mine / sizeof *mine; index++)
        Py_CLEAR(*mine[index]);
    return 0;
}

static void free_member(DirectMember *self)
{
    PyObject_GC_UnTrack(self);
    clear_member(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef member_methods[] = {
    {"receive_now", (PyCFunction)(void (*)(void))receive_now, METH_NOARGS, NULL},
    {"send_now", (PyCFunction)(void (*)(void))send_now, METH_NOARGS, NULL},
    {"fail", (PyCFunction)(void (*)(void))fail, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject member_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "odx_target.native.compiled.DirectMember",
    .tp_basicsize = sizeof(DirectMember),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = new_member,
    .tp_dealloc = (destructor)free_member,
    .tp_traverse = (traverseproc)visit_member,
    .tp_clear = (inquiry)clear_member,
    .tp_methods = member_methods,
};

int add_direct_member(PyObject *module)
{
    return prepare_names(names) || PyModule_AddType(module, &member_type) ? -1 : 0;
}
