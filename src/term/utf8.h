/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__TERM_UTF8_H
#define COP__TERM_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The next code point of [at, end): its length in bytes, or 0 where the bytes are no UTF-8. */
size_t cop__utf8_next(const uint8_t *at, const uint8_t *end, uint32_t *code);
/* Writes one code point, at most 4 bytes; 0 for what is none. */
size_t cop__utf8_put(uint32_t code, uint8_t out[4]);
/* All of it is UTF-8; *characters (may be NULL) is their number. */
bool cop__utf8_valid(const char *text, size_t size, size_t *characters);

#endif
