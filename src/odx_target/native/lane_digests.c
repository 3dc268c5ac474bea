#include "lane_digests.h"

static PyObject *name_header_digest, *name_data_digest;

static const Name names[] = {
    {&name_header_digest, "header_digest"},
    {&name_data_digest, "data_digest"},
    {NULL, NULL},
};

int prepare_lane_digests(void)
{
    return prepare_names(names);
}

/* Return DIGEST_BYTES if an attribute is true, 0 if not, or -1 with an exception on failure. */
static Py_ssize_t size_if(PyObject *object, PyObject *name)
{
    int is_used = truth_of(object, name);
    return is_used > 0 ? DIGEST_BYTES : is_used;
}

int find_digests(PyObject *writer, DigestSizes *sizes)
{
    sizes->header = size_if(writer, name_header_digest);
    sizes->data = size_if(writer, name_data_digest);
    return sizes->header < 0 || sizes->data < 0 ? -1 : 0;
}

void put_digest(unsigned char *to, uint32_t checksum)
{
    for (int byte = 0; byte < DIGEST_BYTES; byte++)
        to[byte] = (unsigned char)(checksum >> 8 * byte);
}

static int is_digest(const unsigned char *digest, const unsigned char *bytes, Py_ssize_t size)
{
    unsigned char right[DIGEST_BYTES];
    put_digest(right, crc32c_with(0, bytes, (size_t)size));
    return right[0] == digest[0] && right[1] == digest[1] && right[2] == digest[2] && right[3] == digest[3];
}

int digests_match(const DigestSizes *sizes, const unsigned char *pdu, Py_ssize_t header_size, Py_ssize_t data_size)
{
    const unsigned char *data = pdu + header_size + sizes->header;
    if (sizes->header && !is_digest(pdu + header_size, pdu, header_size))
        return 0;
    return !sizes->data || data_size == 0 || is_digest(data + data_size, data, data_size);
}

/* Compute the CRC32C of the buffers of a list from `first` on. Return -1 with an exception on failure. */
static int checksum_of_buffers(PyObject *output, Py_ssize_t first, uint32_t *checksum)
{
    *checksum = 0;
    for (Py_ssize_t index = first; index < PyList_GET_SIZE(output); index++) {
        Py_buffer buffer;
        if (PyObject_GetBuffer(PyList_GET_ITEM(output, index), &buffer, PyBUF_SIMPLE))
            return -1;
        *checksum = crc32c_with(*checksum, buffer.buf, (size_t)buffer.len);
        PyBuffer_Release(&buffer);
    }
    return 0;
}

/* Add a digest to a list of buffers. Return -1 with an exception on failure. */
static int add_digest(PyObject *output, uint32_t checksum)
{
    PyObject *digest = PyBytes_FromStringAndSize(NULL, DIGEST_BYTES);
    if (digest == NULL)
        return -1;
    put_digest((unsigned char *)PyBytes_AS_STRING(digest), checksum);
    int failed = PyList_Append(output, digest);
    Py_DECREF(digest);
    return failed;
}

/* Add a buffer or a list of buffers to a list. Return -1 with an exception on failure. */
static int add_data(PyObject *output, PyObject *data)
{
    if (!PyList_Check(data))
        return PyList_Append(output, data);
    Py_ssize_t end = PyList_GET_SIZE(output);
    return PyList_SetSlice(output, end, end, data);
}

int add_data_segment(PyObject *output, const DigestSizes *sizes, PyObject *data, const uint32_t *checksum)
{
    uint32_t found = 0;
    Py_ssize_t first = PyList_GET_SIZE(output);
    if (add_data(output, data))
        return -1;
    if (!sizes->data)
        return 0;
    if (checksum == NULL && checksum_of_buffers(output, first, &found))
        return -1;
    return add_digest(output, checksum == NULL ? found : *checksum);
}
