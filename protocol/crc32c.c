#include "protocol/crc32c.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "eight bytes are taken as one little-endian number");

static const uint32_t table[8][256] = {
#include "protocol/crc32c_table.def"
};

/* Eight bytes at a time: each has its part in the result by itself. */
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t n) {
    const unsigned char *at = bytes;
    crc = ~crc;
    for (; n >= 8; n -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        word ^= crc;
        crc = 0;
        for (size_t k = 0; k < 8; k++) {
            crc ^= table[7 - k][word >> (8 * k) & 0xff];
        }
    }
    for (; n > 0; n--, at++) {
        crc = table[0][(crc ^ *at) & 0xff] ^ crc >> 8;
    }
    return ~crc;
}

#if defined(__x86_64__)
#include <cpuid.h>
#define INSTRUCTION_TARGET __attribute__((target("sse4.2")))
#define CRC_OF_8(crc, x)   ((uint32_t)__builtin_ia32_crc32di((crc), (x)))
#define CRC_OF_4(crc, x)   __builtin_ia32_crc32si((crc), (x))
#define CRC_OF_1(crc, x)   __builtin_ia32_crc32qi((crc), (x))

static bool has_sse42;

/* Once: under a hypervisor the question takes a microsecond. (Not __builtin_cpu_supports, whose object not
 * every linker finds behind link-time optimization.) */
__attribute__((constructor)) static void ask_for_sse42(void) {
    unsigned a, b, c, d;
    has_sse42 = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_2) != 0;
}

bool crc32c_has_instruction(void) { return has_sse42; }

#elif defined(__aarch64__)
#include <sys/auxv.h>
enum { HAS_CRC32 = 1 << 7 }; /* HWCAP_CRC32 of <asm/hwcap.h> */
#if defined(__clang__)
#define INSTRUCTION_TARGET __attribute__((target("crc")))
#define CRC_OF_8(crc, x)   __builtin_arm_crc32cd((crc), (x))
#define CRC_OF_4(crc, x)   __builtin_arm_crc32cw((crc), (x))
#define CRC_OF_1(crc, x)   __builtin_arm_crc32cb((crc), (x))
#else
#define INSTRUCTION_TARGET __attribute__((target("+crc")))
#define CRC_OF_8(crc, x)   __builtin_aarch64_crc32cx((crc), (x))
#define CRC_OF_4(crc, x)   __builtin_aarch64_crc32cw((crc), (x))
#define CRC_OF_1(crc, x)   __builtin_aarch64_crc32cb((crc), (x))
#endif

bool crc32c_has_instruction(void) { return (getauxval(AT_HWCAP) & HAS_CRC32) != 0; }
#endif

#ifdef INSTRUCTION_TARGET
enum { THIRD_BYTES = 256 };

static const uint32_t behind_a_third[4][256] = {
#include "protocol/crc32c_behind.def"
};

static inline uint32_t go_behind_a_third(uint32_t crc) {
    return behind_a_third[0][crc & 0xff] ^ behind_a_third[1][crc >> 8 & 0xff] ^
           behind_a_third[2][crc >> 16 & 0xff] ^ behind_a_third[3][crc >> 24];
}

/* One instruction has to wait for the one before it, but not for those of other bytes: three runs side by side.
 */
INSTRUCTION_TARGET static uint32_t sum_up_thirds(uint32_t crc, const unsigned char *at) {
    uint32_t second = 0, third = 0;
    for (size_t i = 0; i < THIRD_BYTES; i += 8) {
        uint64_t words[3];
        memcpy(&words[0], at + i, 8);
        memcpy(&words[1], at + THIRD_BYTES + i, 8);
        memcpy(&words[2], at + 2 * THIRD_BYTES + i, 8);
        crc = CRC_OF_8(crc, words[0]);
        second = CRC_OF_8(second, words[1]);
        third = CRC_OF_8(third, words[2]);
    }
    return go_behind_a_third(go_behind_a_third(crc) ^ second) ^ third;
}

INSTRUCTION_TARGET uint32_t crc32c_by_instruction(uint32_t crc, const void *bytes, size_t n) {
    const unsigned char *at = bytes;
    crc = ~crc;
    for (; n >= 3 * THIRD_BYTES; n -= 3 * THIRD_BYTES, at += 3 * THIRD_BYTES) {
        crc = sum_up_thirds(crc, at);
    }
    for (; n >= 8; n -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        crc = CRC_OF_8(crc, word);
    }
    if (n >= 4) {
        uint32_t word;
        memcpy(&word, at, 4);
        crc = CRC_OF_4(crc, word);
        at += 4;
        n -= 4;
    }
    for (; n > 0; n--, at++) {
        crc = CRC_OF_1(crc, *at);
    }
    return ~crc;
}
#else
bool crc32c_has_instruction(void) { return false; }

uint32_t crc32c_by_instruction(uint32_t crc, const void *bytes, size_t n) {
    return crc32c_by_table(crc, bytes, n);
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t n) {
    return crc32c_has_instruction() ? crc32c_by_instruction(crc, bytes, n) : crc32c_by_table(crc, bytes, n);
}
