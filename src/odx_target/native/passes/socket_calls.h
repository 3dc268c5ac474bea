/* Receive and send on a socket without waiting. */

#ifndef ODX_SOCKET_CALLS_H
#define ODX_SOCKET_CALLS_H

#include "native.h"

#define MAX_PIECES 128
/* Maximum number of buffers that `send_buffers` sends. Python sends longer lists. */

/* Receive bytes into `room`. Other threads may run meanwhile if there are many bytes. Return their number, which is 0 if the peer has closed the connection, or -1 with
 * `errno`. */
Py_ssize_t receive_bytes(int descriptor, unsigned char *room, size_t size);

/* Receive the missing bytes of the first PDU of `bytes`, of which `count` have arrived, if they arrive at once. Some hosts send the header and
 * the data of a write with two calls. `size` is the size of the room. Return the number of bytes that have arrived in all. Missing
 * bytes of digests are not awaited, so no bytes of another PDU are received. */
Py_ssize_t receive_rest(int descriptor, unsigned char *bytes, Py_ssize_t count, Py_ssize_t size);

/* Send a list of at most MAX_PIECES buffers with one call. Other threads may run meanwhile if there are many bytes. Return the number of bytes that the socket has
 * accepted, or -1 with an exception. `*size` becomes the number of all bytes. */
Py_ssize_t send_buffers(int descriptor, PyObject *list, Py_ssize_t *size);

#endif
