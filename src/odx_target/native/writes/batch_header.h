/* The header of a batch of the log. */

#ifndef ODX_BATCH_HEADER_H
#define ODX_BATCH_HEADER_H

#include "native.h"

#define IDENTITY_BYTES 16
#define CHECKSUM_BYTES 4
#define HEAD_BYTES 84
#define MAX_HEADER_BLOCKS 32
#define SHARED 2
/* These are the values of `store/log/batch.py`. */

/* The arguments of `encode_header`. */
typedef struct {
    const char *identity; /* IDENTITY_BYTES */
    uint64_t epoch, segment, block, first_osn, durable_osn, previous_checksum, flags, blocks;
    PyObject *records;         /* list of bytes */
    const uint32_t *checksums; /* of the data blocks */
    Py_ssize_t count_blocks;
} HeaderFields;

/* Fill in a header of `size` bytes. Return the offset after its last field, or -1 with an exception. Without an exception, the checksum is
 * stored in `checksum`. */
Py_ssize_t fill_header(unsigned char *header, Py_ssize_t size, const HeaderFields *fields, uint32_t *checksum);

#endif
