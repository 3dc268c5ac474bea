#include "transfer_command.h"

#include <string.h>

#define CDB 32

enum { READ_10 = 0x28, WRITE_10 = 0x2A, READ_16 = 0x88, WRITE_16 = 0x8A, WRITE_BIT = 0x02, FUA = 0x08 };
enum { DATA_IN = 0x25, RESPONSE = 0x21, FINAL = 0x80, HAS_STATUS = 0x01 };

static uint32_t number_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint64_t long_number_at(const unsigned char *bytes)
{
    return (uint64_t)number_at(bytes) << 32 | number_at(bytes + 4);
}

static void put_number(unsigned char *bytes, uint32_t number)
{
    for (int index = 0; index < 4; index++)
        bytes[index] = (unsigned char)(number >> (24 - 8 * index));
}

int decode_transfer(const unsigned char *bytes, TransferCommand *command)
{
    const unsigned char *cdb = bytes + CDB;
    command->code = cdb[0];
    command->fua = is_write(command) && cdb[1] & FUA;
    unsigned byte_1 = command->fua ? cdb[1] & ~(unsigned)FUA : cdb[1];
    if (cdb[0] == READ_16 || cdb[0] == WRITE_16) {
        command->lba = long_number_at(cdb + 2);
        command->blocks = number_at(cdb + 10);
        command->others = byte_1 | cdb[14] | cdb[15];
    } else if (cdb[0] == READ_10 || cdb[0] == WRITE_10) {
        command->lba = number_at(cdb + 2);
        command->blocks = (uint32_t)cdb[7] << 8 | cdb[8];
        command->others = byte_1 | cdb[6] | cdb[9];
    } else {
        return 0;
    }
    command->kind = (uint32_t)bytes[0] << 8 | bytes[1];
    command->lengths = number_at(bytes + 4);
    command->lun = long_number_at(bytes + 8);
    command->tag = number_at(bytes + 16);
    command->expected = number_at(bytes + 20);
    command->cmd_sn = number_at(bytes + 24);
    return 1;
}

int is_write(const TransferCommand *command)
{
    return (command->code & WRITE_BIT) != 0;
}

void put_reply_header(unsigned char *bytes, const TransferCommand *command, uint32_t data_bytes, uint32_t stat_sn,
                      uint32_t open_places)
{
    memset(bytes, 0, HEADER_BYTES);
    if (is_write(command)) {
        bytes[0] = RESPONSE;
        bytes[1] = FINAL;
    } else {
        bytes[0] = DATA_IN;
        bytes[1] = FINAL | HAS_STATUS;
        put_number(bytes + 4, data_bytes);
        put_number(bytes + 8, (uint32_t)(command->lun >> 32));
        put_number(bytes + 12, (uint32_t)command->lun);
        put_number(bytes + 20, NO_TAG);
    }
    put_number(bytes + 16, command->tag);
    put_number(bytes + 24, stat_sn);
    put_number(bytes + 28, command->cmd_sn + 1);
    put_number(bytes + 32, command->cmd_sn + 1 + open_places);
}
