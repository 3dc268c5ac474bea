/* A READ or WRITE with a CDB of 10 or 16 bytes, and the header of its reply. This part uses no Python objects. */

#ifndef ODX_TRANSFER_COMMAND_H
#define ODX_TRANSFER_COMMAND_H

#include <stdint.h>

#define HEADER_BYTES 48
#define NO_TAG 0xFFFFFFFF

enum { READS = 0x01C0, WRITES = 0x01A0, SIMPLE = 1 };
/* Bytes 0 and 1 of a usual command, without and with the task attribute SIMPLE. */

typedef struct {
    unsigned code;
    uint32_t kind, lengths, tag, expected, cmd_sn, blocks;
    uint64_t lun, lba;
    unsigned others; /* bits that are 0 in a usual command */
    int fua;         /* 1 for a write with FUA; `others` has the bit of a read */
} TransferCommand;

/* Decode the command whose header is at `bytes`. Return 0 if it has another operation code. */
int decode_transfer(const unsigned char *bytes, TransferCommand *command);

int is_write(const TransferCommand *command);

/* Fill in the header of the only PDU of a reply: a Data-In PDU with status for a read, a SCSI Response for a write. */
void put_reply_header(unsigned char *bytes, const TransferCommand *command, uint32_t data_bytes, uint32_t stat_sn,
                      uint32_t open_places);

#endif
