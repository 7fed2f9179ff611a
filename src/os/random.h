/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_RANDOM_H
#define COP__OS_RANDOM_H

#include <stdint.h>

/* Unpredictable bits from the kernel. */
uint64_t cop__random_seed(void);

/* xoshiro256**, seeded by splitmix64. */
static inline void cop__random_init(uint64_t state[4], uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        state[i] = z ^ (z >> 31);
    }
}

static inline uint64_t cop__rotate(uint64_t x, int k) { return x << k | x >> (64 - k); }

static inline uint64_t cop__random_next(uint64_t s[4]) {
    uint64_t result = cop__rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = cop__rotate(s[3], 45);
    return result;
}

#endif
