#include "socket_calls.h"

#include "transfer_command.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define LOCKED_BYTES (32 << 10)
/* Number of bytes that are received or sent while other threads wait. To let them run takes as long as a copy of some KiB. */

#define MAX_AWAITED_BYTES (16 << 10)
#define MAX_ATTEMPTS 16
/* Largest number of missing bytes for which `receive_rest` waits, and how often it looks for them. That takes some microseconds, which is
 * less than a second pass takes. */

Py_ssize_t receive_bytes(int descriptor, unsigned char *room, size_t size)
{
    ssize_t count = recv(descriptor, room, size < LOCKED_BYTES ? size : LOCKED_BYTES, MSG_DONTWAIT), more;
    if (count < LOCKED_BYTES || size == LOCKED_BYTES)
        return count;
    Py_BEGIN_ALLOW_THREADS
    more = recv(descriptor, room + count, size - LOCKED_BYTES, MSG_DONTWAIT);
    Py_END_ALLOW_THREADS
    return more > 0 ? count + more : count; /* An end or an error is found again by the next call. */
}

/* Return the number of bytes of a PDU without digests, or those of its basic header segment if they have not all arrived (RFC 7143 11.2.1). */
static Py_ssize_t size_of_pdu(const unsigned char *bytes, Py_ssize_t count)
{
    if (count < HEADER_BYTES)
        return HEADER_BYTES;
    Py_ssize_t length = (Py_ssize_t)bytes[5] << 16 | bytes[6] << 8 | bytes[7];
    return HEADER_BYTES + 4 * (Py_ssize_t)bytes[4] + (length + 3) / 4 * 4;
}

Py_ssize_t receive_rest(int descriptor, unsigned char *bytes, Py_ssize_t count, Py_ssize_t size)
{
    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        Py_ssize_t missing = size_of_pdu(bytes, count) - count;
        if (missing <= 0 || missing > MAX_AWAITED_BYTES || missing > size - count)
            break;
        ssize_t more = recv(descriptor, bytes + count, (size_t)missing, MSG_DONTWAIT);
        if (more > 0)
            count += more;
        else if (more == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            break; /* An end or an error is found again by the next call. */
    }
    return count;
}

/* Take hold of the buffers of a list. Return their number, or -1 with an exception; `held` then has none. */
static Py_ssize_t hold_buffers(PyObject *list, Py_buffer *held, struct iovec *pieces, Py_ssize_t *size)
{
    Py_ssize_t count = PyList_GET_SIZE(list), index;
    *size = 0;
    for (index = 0; index < count; index++) {
        if (PyObject_GetBuffer(PyList_GET_ITEM(list, index), &held[index], PyBUF_SIMPLE))
            break;
        pieces[index] = (struct iovec){held[index].buf, (size_t)held[index].len};
        *size += held[index].len;
    }
    if (index == count)
        return count;
    while (index-- > 0)
        PyBuffer_Release(&held[index]);
    return -1;
}

Py_ssize_t send_buffers(int descriptor, PyObject *list, Py_ssize_t *size)
{
    Py_buffer held[MAX_PIECES];
    struct iovec pieces[MAX_PIECES];
    Py_ssize_t count = hold_buffers(list, held, pieces, size);
    if (count < 0)
        return -1;
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    PyThreadState *others = *size > LOCKED_BYTES ? PyEval_SaveThread() : NULL;
    ssize_t sent = sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    int number = errno;
    if (others != NULL)
        PyEval_RestoreThread(others);
    while (count-- > 0)
        PyBuffer_Release(&held[count]);
    errno = number;
    if (sent < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    return sent;
}
