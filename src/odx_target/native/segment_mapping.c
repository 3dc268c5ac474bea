/* The file of a segment in a file system in memory, mapped into the memory of the process.
 *
 * A copy from or to a mapping takes half of the time of preadv or pwritev, because the kernel looks for each page of such a file
 * alone. The memory of the file itself is mapped, so a mapping needs only memory for page tables: 8 bytes for each 4 KiB that were
 * read or written.
 *
 * If another program has cut the file, or if there is no room for a page of it, the processor raises SIGBUS for the missing pages.
 * The handler of this part then ends the copy. For any other SIGBUS, it calls the handler that was there before.
 *
 * A memoryview of a mapping keeps the file mapped, also after `close`.
 */

#include "native.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define POPULATED_BYTES ((size_t)1 << 20)
/* Number of bytes that are mapped at once, because other threads can neither map nor unmap memory meanwhile. */

typedef struct {
    PyObject_HEAD
    unsigned char *bytes; /* NULL after the file was unmapped */
    size_t size;
    Py_ssize_t count_views;
    int is_closed, is_writable;
} SegmentMapping;

static PyTypeObject mapping_type;
static struct sigaction former_action;
static __thread sigjmp_buf *volatile copy_end; /* where a copy of this thread ends if a page is missing; NULL if there is no copy */

static void end_copy(int number, siginfo_t *info, void *context)
{
    if (copy_end != NULL)
        siglongjmp(*copy_end, 1);
    if (former_action.sa_flags & SA_SIGINFO)
        former_action.sa_sigaction(number, info, context);
    else if (former_action.sa_handler != SIG_DFL && former_action.sa_handler != SIG_IGN)
        former_action.sa_handler(number);
    else
        (void)sigaction(number, &former_action, NULL); /* the instruction is repeated, and the signal ends the process */
}

/* Handle SIGBUS. Returns -1 with an exception on failure. */
static int prepare_handler(void)
{
    static int is_prepared;
    struct sigaction action = {.sa_sigaction = end_copy, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    if (!is_prepared && sigaction(SIGBUS, &action, &former_action)) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    is_prepared = 1;
    return 0;
}

const unsigned char *bytes_mapped(PyObject *object, uint64_t offset, size_t size)
{
    if (!Py_IS_TYPE(object, &mapping_type))
        return NULL;
    const SegmentMapping *self = (SegmentMapping *)object;
    return self->is_closed || offset > self->size || size > self->size - offset ? NULL : self->bytes + offset;
}

/* Copy bytes that may be in a mapping. Returns 0 if a page is missing. */
static int copy_guarded(unsigned char *to, const unsigned char *from, size_t size)
{
    sigjmp_buf end;
    if (sigsetjmp(end, 0)) {
        copy_end = NULL;
        return 0;
    }
    copy_end = &end;
    atomic_signal_fence(memory_order_seq_cst); /* the compiler must not move the copy, because the handler depends on it */
    memcpy(to, from, size);
    atomic_signal_fence(memory_order_seq_cst);
    copy_end = NULL;
    return 1;
}

/* Copy blocks, unless `to` is NULL, and check them. */
static int copy_and_check(const unsigned char *from, Py_ssize_t count, unsigned char *to, const uint32_t *checksums,
                          const unsigned char *ahead)
{
    for (Py_ssize_t index = 0; index < count; index++, from += BLOCK_BYTES) {
        const unsigned char *block = from;
        if (to != NULL)
            block = memcpy(to + index * BLOCK_BYTES, from, BLOCK_BYTES);
        if (crc32c_of_block(block, index + 1 < count ? from + BLOCK_BYTES : ahead) != checksums[index])
            return 0;
    }
    return 1;
}

int read_mapped(const unsigned char *from, Py_ssize_t count, unsigned char *to, const uint32_t *checksums, const unsigned char *ahead)
{
    sigjmp_buf end;
    if (sigsetjmp(end, 0)) {
        copy_end = NULL;
        return 0;
    }
    copy_end = &end;
    atomic_signal_fence(memory_order_seq_cst); /* the compiler must not move the reads, because the handler depends on it */
    int found = copy_and_check(from, count, to, checksums, ahead);
    atomic_signal_fence(memory_order_seq_cst);
    copy_end = NULL;
    return found;
}

static PyObject *copy_if_view(PyObject *Py_UNUSED(module), PyObject *object)
{
    PyObject *base = PyMemoryView_Check(object) ? PyMemoryView_GET_BASE(object) : NULL;
    if (base == NULL || !Py_IS_TYPE(base, &mapping_type))
        return Py_NewRef(object);
    const Py_buffer *buffer = PyMemoryView_GET_BUFFER(object);
    PyObject *copy = PyBytes_FromStringAndSize(NULL, buffer->len);
    if (copy != NULL && !copy_guarded((unsigned char *)PyBytes_AS_STRING(copy), buffer->buf, (size_t)buffer->len)) {
        Py_CLEAR(copy);
        errno = EIO;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return copy;
}

static PyObject *new_mapping(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    int descriptor, is_writable = 0;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "in|p", &descriptor, &size, &is_writable))
        return NULL;
    if ((keywords != NULL && PyDict_GET_SIZE(keywords)) || size < 1)
        return PyErr_Format(PyExc_ValueError, "a SegmentMapping has no keywords, and at least one byte");
    if (prepare_handler())
        return NULL;
    SegmentMapping *self = (SegmentMapping *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    void *bytes = mmap(NULL, (size_t)size, PROT_READ | (is_writable ? PROT_WRITE : 0), MAP_SHARED, descriptor, 0);
    if (bytes == MAP_FAILED) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(self);
        return NULL;
    }
    self->bytes = bytes;
    self->size = (size_t)size;
    self->is_writable = is_writable;
    return (PyObject *)self;
}

/* Unmap the file. No copy is running, because a copy does not release the lock of the interpreter. */
static void unmap(SegmentMapping *self)
{
    unsigned char *bytes = self->bytes;
    self->bytes = NULL;
    if (bytes != NULL) {
        Py_BEGIN_ALLOW_THREADS /* it takes a millisecond if all pages were read */
        (void)munmap(bytes, self->size);
        Py_END_ALLOW_THREADS
    }
}

static int get_buffer(PyObject *object, Py_buffer *view, int flags)
{
    SegmentMapping *self = (SegmentMapping *)object;
    if (self->is_closed) {
        PyErr_SetString(PyExc_BufferError, "the mapping is closed");
        view->obj = NULL;
        return -1;
    }
    if (PyBuffer_FillInfo(view, object, self->bytes, (Py_ssize_t)self->size, 1, flags))
        return -1;
    self->count_views++;
    return 0;
}

static void release_buffer(PyObject *object, Py_buffer *Py_UNUSED(view))
{
    SegmentMapping *self = (SegmentMapping *)object;
    if (--self->count_views == 0 && self->is_closed)
        unmap(self);
}

static PyObject *close_mapping(PyObject *object, PyObject *Py_UNUSED(none))
{
    SegmentMapping *self = (SegmentMapping *)object;
    self->is_closed = 1;
    if (self->count_views == 0)
        unmap(self);
    Py_RETURN_NONE;
}

int is_mapping(PyObject *object)
{
    return Py_IS_TYPE(object, &mapping_type);
}

int write_bytes_mapped(PyObject *mapping, uint64_t offset, const unsigned char *bytes, size_t size)
{
    const SegmentMapping *self = (SegmentMapping *)mapping;
    if (self->is_closed || !self->is_writable || offset > self->size || size > self->size - offset)
        return 0;
    return copy_guarded(self->bytes + offset, bytes, size);
}

int write_mapped(PyObject *mapping, uint64_t offset, PyObject *buffers)
{
    int copied = 1;
    for (Py_ssize_t index = 0; copied > 0 && index < PyList_GET_SIZE(buffers); index++) {
        Py_buffer buffer;
        if (PyObject_GetBuffer(PyList_GET_ITEM(buffers, index), &buffer, PyBUF_SIMPLE))
            return -1;
        copied = write_bytes_mapped(mapping, offset, buffer.buf, (size_t)buffer.len);
        offset += (uint64_t)buffer.len;
        PyBuffer_Release(&buffer);
    }
    return copied;
}

/* write_now(offset, buffers) -> True if all buffers were copied to the mapping, one after the other. If False, some may have been
 * copied. */
static PyObject *write_now(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyList_Check(arguments[1]))
        return PyErr_Format(PyExc_TypeError, "write_now takes an offset and a list of buffers");
    size_t offset = PyLong_AsSize_t(arguments[0]);
    if (PyErr_Occurred())
        return NULL;
    const SegmentMapping *self = (SegmentMapping *)object;
    int copied = self->is_closed || !self->is_writable ? 0 : write_mapped(object, offset, arguments[1]);
    return copied < 0 ? NULL : PyBool_FromLong(copied);
}

/* Allocate and map all pages for writes. A failure does not matter, because a write then maps its pages. No other thread may use or
 * close the mapping meanwhile. */
static PyObject *populate(PyObject *object, PyObject *Py_UNUSED(none))
{
    SegmentMapping *self = (SegmentMapping *)object;
    if (self->bytes != NULL && self->is_writable) {
        Py_BEGIN_ALLOW_THREADS /* it takes milliseconds */
        for (size_t at = 0; at < self->size; at += POPULATED_BYTES) {
            size_t rest = self->size - at;
            (void)madvise(self->bytes + at, rest < POPULATED_BYTES ? rest : POPULATED_BYTES, MADV_POPULATE_WRITE);
        }
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

static PyObject *size_bytes(PyObject *object, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(((SegmentMapping *)object)->size);
}

static PyObject *is_writable(PyObject *object, void *Py_UNUSED(closure))
{
    const SegmentMapping *self = (SegmentMapping *)object;
    return PyBool_FromLong(self->is_writable && !self->is_closed);
}

static PyObject *has_views(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((SegmentMapping *)object)->count_views != 0);
}

static void free_mapping(PyObject *object)
{
    SegmentMapping *self = (SegmentMapping *)object;
    if (self->bytes != NULL)
        (void)munmap(self->bytes, self->size);
    Py_TYPE(object)->tp_free(object);
}

static PyBufferProcs buffer_functions = {get_buffer, release_buffer};

static PyGetSetDef attributes[] = {
    {"has_views", has_views, NULL, NULL, NULL},
    {"is_writable", is_writable, NULL, NULL, NULL},
    {"size_bytes", size_bytes, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef functions[] = {
    {"copy_if_view", copy_if_view, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef methods[] = {
    {"close", close_mapping, METH_NOARGS, NULL},
    {"populate", populate, METH_NOARGS, NULL},
    {"write_now", (PyCFunction)(void (*)(void))write_now, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject mapping_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "odx_target.native.compiled.SegmentMapping",
    .tp_basicsize = sizeof(SegmentMapping),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = new_mapping,
    .tp_dealloc = free_mapping,
    .tp_methods = methods,
    .tp_getset = attributes,
    .tp_as_buffer = &buffer_functions,
};

int add_segment_mapping(PyObject *module)
{
    return PyModule_AddFunctions(module, functions) || PyModule_AddType(module, &mapping_type) ? -1 : 0;
}
