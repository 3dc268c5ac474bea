/* The digests of PDUs (RFC 7143 11.2.3 and 11.2.4): CRC32C, least significant byte first. */

#ifndef ODX_LANE_DIGESTS_H
#define ODX_LANE_DIGESTS_H

#include "native.h"

#define DIGEST_BYTES 4

/* The number of bytes of each digest of a session: DIGEST_BYTES or 0. */
typedef struct {
    Py_ssize_t header, data;
} DigestSizes;

/* Get the digests that a writer of PDUs uses. Return -1 with an exception on failure. */
int find_digests(PyObject *writer, DigestSizes *sizes);

/* Return 1 if the digests of the PDU at `pdu` match. It has no AHS, and its data has `data_size` bytes, a multiple of 4. */
int digests_match(const DigestSizes *sizes, const unsigned char *pdu, Py_ssize_t header_size, Py_ssize_t data_size);

/* Write the digest of bytes. */
void put_digest(unsigned char *to, uint32_t checksum);

/* Add data, which is a buffer or a list of buffers, to a list of buffers, and then its digest if the session has data digests.
 * `checksum` is the CRC32C of the data, or NULL if it is not known. Return -1 with an exception on failure. */
int add_data_segment(PyObject *output, const DigestSizes *sizes, PyObject *data, const uint32_t *checksum);

/* Prepare the other functions. Return -1 with an exception on failure. */
int prepare_lane_digests(void);

#endif
