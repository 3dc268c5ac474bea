/* CRC32C of blocks and of other bytes, with the instruction of the processor.
 *
 * The instruction takes three cycles, but a processor can begin one in every cycle. So a block is divided into three parts of
 * PART_BYTES and a rest, and the checksums of the three parts are computed at the same time. To join them, the checksum of a
 * part is advanced over the zeros that stand for the next part. This is a linear function, so tables for its bytes suffice.
 *
 * If blocks come from memory, the processor waits for them longer than it computes. It fetches ahead only within a page, and the
 * three parts of a block are too short for that. So the next block is fetched while a block is computed.
 */

#include "native.h"

#include <nmmintrin.h>
#include <string.h>

#define WORD_BYTES 8
#define PART_BYTES 1360
#define REST_BYTES (BLOCK_BYTES - 3 * PART_BYTES)
#define LINE_BYTES 64 /* of the cache of the processor */
#define LINES_OF_A_PART (PART_BYTES / LINE_BYTES)

_Static_assert(3 * LINES_OF_A_PART + 1 == BLOCK_BYTES / LINE_BYTES, "all lines of the next block are fetched");
_Static_assert(PART_BYTES % WORD_BYTES == 0 && REST_BYTES >= 0 && REST_BYTES % WORD_BYTES == 0, "words fill all parts");

typedef uint32_t Advanced[4][256]; /* by the position and the value of a byte of a checksum */

static Advanced over_part, over_whole_block; /* checksums that are advanced over the zeros of a part, and of a block */

static uint64_t word_at(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t over_zeros(uint32_t checksum, int size)
{
    uint64_t state = checksum;
    for (int at = 0; at < size; at += WORD_BYTES)
        state = _mm_crc32_u64(state, 0);
    return (uint32_t)state;
}

static void prepare(Advanced advanced, int size)
{
    for (int position = 0; position < 4; position++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t of_bit = over_zeros((uint32_t)1 << (8 * position + bit), size);
            for (int value = 1 << bit; value < 2 << bit; value++)
                advanced[position][value] = advanced[position][value - (1 << bit)] ^ of_bit;
        }
}

void prepare_crc32c(void)
{
    prepare(over_part, PART_BYTES);
    prepare(over_whole_block, BLOCK_BYTES);
}

static uint32_t advance(Advanced advanced, uint32_t checksum)
{
    return advanced[0][checksum & 255] ^ advanced[1][checksum >> 8 & 255] ^ advanced[2][checksum >> 16 & 255]
           ^ advanced[3][checksum >> 24];
}

uint32_t crc32c_of_blocks(uint32_t checksum, const uint32_t *checksums, Py_ssize_t count)
{
    for (Py_ssize_t index = 0; index < count; index++)
        checksum = advance(over_whole_block, checksum) ^ checksums[index];
    return checksum;
}

static void fetch(const unsigned char *line)
{
    _mm_prefetch((const char *)line, _MM_HINT_T0); /* does nothing if there is no memory */
}

/* Advance the state of a checksum over a block, and fetch the block at `ahead`. */
__attribute__((target("sse4.2"))) static uint32_t over_block(uint32_t before, const unsigned char *block, const unsigned char *ahead)
{
    const unsigned char *second_part = block + PART_BYTES, *third_part = second_part + PART_BYTES;
    uint64_t first = before, second = 0, third = 0;
    int at = 0;
    for (int line = 0; line <= LINES_OF_A_PART; line++, ahead += 3 * LINE_BYTES) {
        int end = line < LINES_OF_A_PART ? at + LINE_BYTES : PART_BYTES;
        fetch(ahead);
        if (line < LINES_OF_A_PART) {
            fetch(ahead + LINE_BYTES);
            fetch(ahead + 2 * LINE_BYTES);
        }
        for (; at < end; at += WORD_BYTES) {
            first = _mm_crc32_u64(first, word_at(block + at));
            second = _mm_crc32_u64(second, word_at(second_part + at));
            third = _mm_crc32_u64(third, word_at(third_part + at));
        }
    }
    uint64_t state = advance(over_part, advance(over_part, (uint32_t)first) ^ (uint32_t)second) ^ (uint32_t)third;
    for (int at = 3 * PART_BYTES; at < BLOCK_BYTES; at += WORD_BYTES)
        state = _mm_crc32_u64(state, word_at(block + at));
    return (uint32_t)state;
}

uint32_t crc32c_of_block(const unsigned char *block, const unsigned char *ahead)
{
    return over_block(0xFFFFFFFF, block, ahead) ^ 0xFFFFFFFF;
}

__attribute__((target("sse4.2"))) uint32_t crc32c_with(uint32_t checksum, const unsigned char *bytes, size_t size)
{
    uint32_t before = checksum ^ 0xFFFFFFFF;
    for (; size >= BLOCK_BYTES; size -= BLOCK_BYTES, bytes += BLOCK_BYTES)
        before = over_block(before, bytes, size < 2 * BLOCK_BYTES ? bytes : bytes + BLOCK_BYTES);
    uint64_t state = before;
    for (; size >= WORD_BYTES; size -= WORD_BYTES, bytes += WORD_BYTES)
        state = _mm_crc32_u64(state, word_at(bytes));
    for (; size != 0; size--, bytes++)
        state = _mm_crc32_u8((uint32_t)state, *bytes);
    return (uint32_t)state ^ 0xFFFFFFFF;
}
